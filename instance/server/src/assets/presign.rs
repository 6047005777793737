//! Signed addresses of an object storage: Signature Version 4 in the query, and TOS's variant of it.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use remotelab_config::object_storage::{Dialect, ObjectStorage};
use sha2::{Digest, Sha256};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a path of several segments.
const IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// What the two dialects call things.
struct Words {
    parameter: &'static str,
    algorithm: &'static str,
    service: &'static str,
    terminator: &'static str,
    secret_prefix: &'static str,
}

const S3: Words = Words {
    parameter: "X-Amz-",
    algorithm: "AWS4-HMAC-SHA256",
    service: "s3",
    terminator: "aws4_request",
    secret_prefix: "AWS4",
};

const TOS: Words = Words {
    parameter: "X-Tos-",
    algorithm: "TOS4-HMAC-SHA256",
    service: "tos",
    terminator: "request",
    secret_prefix: "",
};

/// Returns the address by which one request of a method may be made to an object until its lifetime,
/// counted from `at`, is over. `more` are further parameters of the query.
pub(super) fn presign(
    storage: &ObjectStorage,
    method: &str,
    key: &str,
    more: &[(&str, &str)],
    at: Timestamp,
) -> String {
    let words = match storage.dialect {
        Dialect::S3 => &S3,
        Dialect::Tos => &TOS,
    };
    let time = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let scope = format!("{}/{}/{}/{}", &time[..8], storage.region, words.service, words.terminator);
    let lifetime = storage.lifetime.as_secs().to_string();
    let credential = format!("{}/{scope}", storage.access_key_id);
    let own = [
        ("Algorithm", words.algorithm),
        ("Credential", credential.as_str()),
        ("Date", time.as_str()),
        ("Expires", lifetime.as_str()),
        ("SignedHeaders", "host"),
    ];
    let own = own.map(|(name, value)| (format!("{}{name}", words.parameter), value));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), *value));
    let mut pairs: Vec<String> = own
        .into_iter()
        .chain(more)
        .map(|(name, value)| format!("{}={}", escape(&name), escape(value)))
        .collect();
    pairs.sort_unstable();
    let query = pairs.join("&");
    let path = object_path(storage, key);
    let host = &storage.endpoint.authority;
    let request = format!("{method}\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let digest = hex::encode(Sha256::digest(request.as_bytes()));
    let to_sign = format!("{}\n{time}\n{scope}\n{digest}", words.algorithm);
    let secret = [words.secret_prefix.as_bytes(), storage.secret.bytes()].concat();
    let signing_key = scope.split('/').fold(secret, |key, part| mac(&key, part));
    let signature = hex::encode(mac(&signing_key, &to_sign));
    format!("{}{path}?{query}&{}Signature={signature}", storage.endpoint.origin(), words.parameter)
}

/// Returns the unsigned address of an object below an address that everybody may read.
pub(super) fn public(base_url: &str, key: &str) -> String {
    format!("{base_url}/{}", utf8_percent_encode(key, IN_PATH))
}

fn object_path(storage: &ObjectStorage, key: &str) -> String {
    format!("{}/{}", storage.endpoint.path, utf8_percent_encode(key, IN_PATH))
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use remotelab_config::object_storage::Endpoint;
    use std::time::Duration;

    fn storage(dialect: Dialect, base: &str, region: &str) -> ObjectStorage {
        ObjectStorage {
            dialect,
            endpoint: Endpoint::parse(base).unwrap(),
            public_base_url: None,
            region: region.into(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            key_prefix: String::new(),
            lifetime: Duration::from_secs(86_400),
            direct_upload: true,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The example of "Authenticating Requests: Using Query Parameters" in Amazon's documentation.
    #[test]
    fn signs_what_amazon_publishes() {
        let storage = storage(Dialect::S3, "https://examplebucket.s3.amazonaws.com", "us-east-1");
        assert_eq!(
            presign(&storage, "GET", "test.txt", &[], at("2013-05-24T00:00:00Z")),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// Computed apart from this code, with Python's `hmac`.
    #[test]
    fn signs_paths_names_and_further_parameters() {
        let storage = storage(Dialect::S3, "http://127.0.0.1:9000/files", "auto");
        let more = [("response-content-disposition", "attachment; filename=\"a b.pdf\"")];
        assert_eq!(
            presign(&storage, "PUT", "sess ion/é.pdf", &more, at("2026-11-22T07:36:51Z")),
            "http://127.0.0.1:9000/files/sess%20ion/%C3%A9.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fauto%2Fs3%2Faws4_request\
             &X-Amz-Date=20261122T073651Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &response-content-disposition=attachment%3B%20filename%3D%22a%20b.pdf%22\
             &X-Amz-Signature=1a1e5a4431528418e8c904d05d88e0ea5c7a0c237241b8d16cccdfc2741f17bd"
        );
    }

    /// Computed apart from this code, with Python's `hmac`.
    #[test]
    fn signs_as_tos_wants_it() {
        let storage = storage(Dialect::Tos, "https://files.tos-cn-beijing.volces.com", "cn-beijing");
        assert_eq!(
            presign(&storage, "GET", "a/b.txt", &[], at("2026-11-22T07:36:51Z")),
            "https://files.tos-cn-beijing.volces.com/a/b.txt?X-Tos-Algorithm=TOS4-HMAC-SHA256\
             &X-Tos-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fcn-beijing%2Ftos%2Frequest\
             &X-Tos-Date=20261122T073651Z&X-Tos-Expires=86400&X-Tos-SignedHeaders=host\
             &X-Tos-Signature=a9c90d4b7f980d514c3cf00f47748f1ed0b67dcde3dde919d15f22bc7e63dadf"
        );
    }
}
