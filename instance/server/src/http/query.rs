//! Query strings, read kindly: the last value of a name counts, and what cannot be read is as if it were
//! not there. Connectors send what they like; an odd query never refuses a read.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// The query of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(read(parts.uri.query().unwrap_or_default())))
    }
}

fn read<T: DeserializeOwned + Default>(query: &str) -> T {
    let Ok(pairs) = serde_urlencoded::from_str::<Vec<(String, String)>>(query) else {
        return T::default();
    };
    let last: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
    serde_urlencoded::to_string(last)
        .ok()
        .and_then(|query| serde_urlencoded::from_str(&query).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Wanted {
        filter: String,
        before: Option<u64>,
    }

    #[test]
    fn an_odd_query_is_read_as_far_as_it_can_be() {
        let wanted = |filter: &str, before| Wanted { filter: filter.into(), before };
        assert_eq!(read::<Wanted>("filter=a&filter=all&x=%zz&before=7"), wanted("all", Some(7)));
        assert_eq!(read::<Wanted>("before=soon"), Wanted::default());
        assert_eq!(read::<Wanted>(""), Wanted::default());
    }
}
