//! Where the files of sessions are kept besides this machine, set by `REMOTELAB_ASSET_*`.

use std::fmt;
use std::time::Duration;

use crate::Env;

const LIFETIME_SECONDS: std::ops::RangeInclusive<u64> = 60..=604_800;
const DEFAULT_LIFETIME_SECONDS: u64 = 3_600;

/// An object storage that speaks S3's language, or Volcengine's dialect of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStorage {
    /// How requests are signed.
    pub dialect: Dialect,
    /// Where the bucket is (`REMOTELAB_ASSET_STORAGE_BASE_URL`).
    pub endpoint: Endpoint,
    /// Where everybody may read what is in it, unsigned (`…_PUBLIC_BASE_URL`), without a final slash.
    pub public_base_url: Option<String>,
    /// The region that signatures name (`…_REGION`).
    pub region: String,
    /// Whose signatures they are (`…_ACCESS_KEY_ID`).
    pub access_key_id: String,
    /// What they are made with (`…_SECRET_ACCESS_KEY`).
    pub secret: SecretKey,
    /// The first part of every key (`…_KEY_PREFIX`), without slashes around it.
    pub key_prefix: String,
    /// How long a signed address is good (`…_PRESIGN_TTL_SECONDS`).
    pub lifetime: Duration,
    /// Whether a browser may upload to the storage itself (`REMOTELAB_ASSET_DIRECT_UPLOAD_ENABLED`).
    pub direct_upload: bool,
}

/// How requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// AWS Signature Version 4.
    S3,
    /// Its variant of Volcengine TOS.
    Tos,
}

/// A web address in its parts: `scheme://authority/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, and port when it is not the scheme's own.
    pub authority: String,
    /// Begins with a slash unless it is empty; never ends with one.
    pub path: String,
}

/// A secret that prints nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl ObjectStorage {
    /// Reads the settings; `None` unless address and both keys are set and usable.
    #[must_use]
    pub fn from_env(env: &Env) -> Option<Self> {
        let set = |name: &str| env.get(&format!("REMOTELAB_ASSET_STORAGE_{name}"));
        let endpoint = Endpoint::parse(set("BASE_URL")?)?;
        let dialect = dialect(set("PROVIDER"), &endpoint);
        let region = set("REGION").or_else(|| tos_region(&endpoint.authority)).unwrap_or("auto").to_owned();
        let lifetime = set("PRESIGN_TTL_SECONDS").and_then(|text| text.parse().ok());
        Some(Self {
            dialect,
            endpoint: if dialect == Dialect::Tos { endpoint.with_bucket_as_host() } else { endpoint },
            public_base_url: set("PUBLIC_BASE_URL")
                .and_then(Endpoint::parse)
                .map(|public| public.to_string()),
            region,
            access_key_id: set("ACCESS_KEY_ID")?.to_owned(),
            secret: SecretKey(set("SECRET_ACCESS_KEY")?.to_owned()),
            key_prefix: set("KEY_PREFIX").unwrap_or("session-assets").trim_matches('/').to_owned(),
            lifetime: Duration::from_secs(
                lifetime.filter(|ttl| LIFETIME_SECONDS.contains(ttl)).unwrap_or(DEFAULT_LIFETIME_SECONDS),
            ),
            direct_upload: !matches!(
                env.get("REMOTELAB_ASSET_DIRECT_UPLOAD_ENABLED"),
                Some("0" | "false" | "no" | "off")
            ),
        })
    }

    /// Returns the origins that pages load its files from.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let public = self.public_base_url.as_deref().and_then(Endpoint::parse);
        let mut origins: Vec<String> =
            std::iter::once(&self.endpoint).chain(public.as_ref()).map(Endpoint::origin).collect();
        origins.dedup();
        origins
    }
}

impl Endpoint {
    /// Reads an address; `None` for anything but plain `http` and `https` ones.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let path = path.trim_end_matches('/');
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
        let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/.-_~%".contains(&b);
        let fits = matches!(scheme.as_str(), "http" | "https")
            && !authority.is_empty()
            && authority.bytes().all(is_host)
            && path.bytes().all(is_path);
        fits.then(|| Self { scheme, authority: authority.to_ascii_lowercase(), path: path.to_owned() })
    }

    /// Returns the part that browsers tell sites apart by.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// TOS serves no bucket by path: `tos-x.volces.com/bucket` is `bucket.tos-x.volces.com`.
    fn with_bucket_as_host(self) -> Self {
        match self.path.strip_prefix('/') {
            Some(bucket) if !bucket.contains('/') && self.authority.starts_with("tos-") => {
                Self { authority: format!("{bucket}.{}", self.authority), path: String::new(), ..self }
            }
            _ => self,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

impl SecretKey {
    /// Returns the secret's bytes, for use as a key.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<&str> for SecretKey {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

fn dialect(named: Option<&str>, endpoint: &Endpoint) -> Dialect {
    match named.map(str::to_ascii_lowercase).as_deref() {
        Some("tos" | "volcengine-tos" | "volces-tos") => Dialect::Tos,
        Some("s3" | "aws-s3" | "s3-compatible" | "r2") => Dialect::S3,
        _ if tos_region(&endpoint.authority).is_some() => Dialect::Tos,
        _ => Dialect::S3,
    }
}

/// Reads the region of `[bucket.]tos-<region>.volces.com`.
fn tos_region(authority: &str) -> Option<&str> {
    let host = authority.strip_suffix(".volces.com")?;
    host.rsplit('.').next()?.strip_prefix("tos-").filter(|region| !region.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &[(&str, &str)]) -> Option<ObjectStorage> {
        let keys = [("ACCESS_KEY_ID", "id"), ("SECRET_ACCESS_KEY", "hush")];
        let pairs = keys.iter().chain(more);
        let env: Env =
            pairs.map(|(name, value)| (format!("REMOTELAB_ASSET_STORAGE_{name}"), *value)).collect();
        ObjectStorage::from_env(&env)
    }

    #[test]
    fn an_address_and_both_keys_turn_it_on() {
        let expected = ObjectStorage {
            dialect: Dialect::S3,
            endpoint: Endpoint {
                scheme: "https".into(),
                authority: "acct.r2.example.com".into(),
                path: "/files".into(),
            },
            public_base_url: None,
            region: "auto".into(),
            access_key_id: "id".into(),
            secret: "hush".into(),
            key_prefix: "session-assets".into(),
            lifetime: Duration::from_secs(3_600),
            direct_upload: true,
        };
        assert!(!format!("{expected:?}").contains("hush"));
        assert_eq!(read(&[("BASE_URL", "https://acct.r2.example.com/files/")]), Some(expected));
        for unusable in
            ["", "acct.example.com/files", "ftp://x/y", "https:///x", "https://u:p@x/y", "https://x/?y"]
        {
            assert_eq!(read(&[("BASE_URL", unusable)]), None, "{unusable}");
        }
        assert_eq!(read(&[("BASE_URL", "https://x/y"), ("SECRET_ACCESS_KEY", " ")]), None);
    }

    #[test]
    fn the_variant_of_tos_is_known_by_its_host() {
        let tos = read(&[("BASE_URL", "https://tos-cn-beijing.volces.com/files")]).unwrap();
        assert_eq!((tos.dialect, tos.region.as_str()), (Dialect::Tos, "cn-beijing"));
        assert_eq!(tos.endpoint.to_string(), "https://files.tos-cn-beijing.volces.com");
        let hosted = read(&[("BASE_URL", "https://files.tos-cn-beijing.volces.com/deep")]).unwrap();
        assert_eq!(hosted.endpoint.to_string(), "https://files.tos-cn-beijing.volces.com/deep");
        let named = read(&[("BASE_URL", "https://x.example/y"), ("PROVIDER", "volces-tos")]).unwrap();
        assert_eq!((named.dialect, named.endpoint.to_string()), (Dialect::Tos, "https://x.example/y".into()));
    }

    #[test]
    fn lifetimes_outside_the_range_are_the_default() {
        for (text, seconds) in
            [("60", 60), ("59", 3_600), ("604800", 604_800), ("604801", 3_600), ("soon", 3_600)]
        {
            let storage = read(&[("BASE_URL", "https://x/y"), ("PRESIGN_TTL_SECONDS", text)]).unwrap();
            assert_eq!(storage.lifetime, Duration::from_secs(seconds), "{text}");
        }
    }
}
