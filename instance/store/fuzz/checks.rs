//! What holds for any bytes. The fuzz targets look for bytes for which it does not, the tests replay
//! the corpus.

use std::path::{Component, Path};

use remotelab_store::Transaction;
use remotelab_store::journal::Op;
use remotelab_store::journal::record::{decode_all, encode};

/// The bytes are a journal file, and the payload of a record whose checksum is right. What is read
/// stays below the root, survives being written again, and of a torn file is a part from the front.
pub fn journal(data: &[u8]) {
    let mut sealed = Vec::new();
    for payload in data.split_inclusive(|&byte| byte == 0xff) {
        seal(payload, &mut sealed);
    }
    for bytes in [data, &sealed] {
        let transactions = decode_all(bytes);
        transactions.iter().flat_map(Transaction::ops).for_each(assert_is_below);
        let mut written = Vec::new();
        transactions.iter().for_each(|transaction| encode(transaction, &mut written));
        assert_eq!(decode_all(&written), transactions);
        assert!(written.len() <= bytes.len());
        for cut in [bytes.len() / 3, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            assert!(transactions.starts_with(&decode_all(&bytes[..cut])));
        }
        written.extend_from_slice(b"torn");
        assert!(decode_all(&written).starts_with(&transactions));
    }
}

fn seal(payload: &[u8], bytes: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("inputs are small");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
}

fn assert_is_below(op: &Op) {
    let (Op::Put { path, .. } | Op::WriteAt { path, .. }) = op;
    let joined = Path::new("/root").join(path);
    let mut parts = joined.components();
    assert_eq!(
        (parts.next(), parts.next()),
        (Some(Component::RootDir), Some(Component::Normal("root".as_ref())))
    );
    assert!(
        joined != Path::new("/root") && parts.all(|part| matches!(part, Component::Normal(_))),
        "{path:?}"
    );
}
