//! Digests over the body of a mail as signatures take them (RFC 6376 §3.4), without holding it.

use std::io::{self, Read};

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha1, Sha256};
use mail_auth::dkim::canonicalize::BodyHasher;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

type Hasher<T> = BodyHasher<<T as HashImpl>::Context>;

enum Digest {
    Sha1(Hasher<Sha1>),
    Sha256(Hasher<Sha256>),
}

/// Puts the digests of a body into a message of which the header alone was read.
pub(super) fn digest(message: &mut AuthenticatedMessage<'_>, mut body: impl Read) -> io::Result<()> {
    let mut digests: Vec<Digest> = message
        .body_hashes
        .iter()
        .map(|(form, algorithm, limit, _)| match algorithm {
            HashAlgorithm::Sha1 => Digest::Sha1(BodyHasher::new(Sha1::hasher(), *form, *limit)),
            HashAlgorithm::Sha256 => Digest::Sha256(BodyHasher::new(Sha256::hasher(), *form, *limit)),
        })
        .collect();
    if digests.is_empty() {
        return Ok(());
    }
    let mut piece = vec![0; PIECE];
    loop {
        let read = match body.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digests.iter_mut().for_each(|digest| digest.write(&piece[..read]));
    }
    for (digest, (_, _, _, place)) in digests.into_iter().zip(&mut message.body_hashes) {
        *place = digest.finish();
    }
    Ok(())
}

impl Digest {
    fn write(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.write(piece),
            Self::Sha256(hasher) => hasher.write(piece),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha1(hasher) => hasher.finish().0.complete().as_ref().to_vec(),
            Self::Sha256(hasher) => hasher.finish().0.complete().as_ref().to_vec(),
        }
    }
}
