//! Header names that the `http` crate has no constant for.

use http::HeaderName;

macro_rules! names {
    ($($name:ident = $text:literal;)*) => {
        $(#[doc = concat!("`", $text, "`")]
        pub const $name: HeaderName = HeaderName::from_static($text);)*
    };
}

names! {
    CF_CONNECTING_IP = "cf-connecting-ip";
    CONTENT_DIGEST = "content-digest";
    CONTENT_MD5 = "content-md5";
    CROSS_ORIGIN_RESOURCE_POLICY = "cross-origin-resource-policy";
    DIGEST = "digest";
    REPR_DIGEST = "repr-digest";
    SEC_FETCH_DEST = "sec-fetch-dest";
    SEC_FETCH_SITE = "sec-fetch-site";
    X_FORWARDED_FOR = "x-forwarded-for";
    X_FORWARDED_HOST = "x-forwarded-host";
    X_FORWARDED_PORT = "x-forwarded-port";
    X_FORWARDED_PREFIX = "x-forwarded-prefix";
    X_FORWARDED_PROTO = "x-forwarded-proto";
    X_REMOTELAB_BASE = "x-remotelab-base";
    X_REMOTELAB_GATEWAY = "x-remotelab-gateway";
    X_REQUEST_ID = "x-request-id";
}
