//! Transactions and their bytes in the journal.
//!
//! A record is `length: u32 LE | crc32: u32 LE | payload`; the payload is a list of operations
//! `kind: u8 | path length: u16 LE | path | offset: u64 LE | data length: u32 LE | data`.

use std::path::{Component, Path};

/// A change of one file below the root. Carrying it out twice is the same as once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Replaces a whole file.
    Put {
        /// Path relative to the root.
        path: String,
        /// The whole contents.
        bytes: Vec<u8>,
    },
    /// Writes at an offset and cuts what is behind: an append that can be repeated.
    WriteAt {
        /// Path relative to the root.
        path: String,
        /// Where the bytes begin.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction(Vec<Op>);

const PUT: u8 = 1;
const WRITE_AT: u8 = 2;
const HEAD: usize = 8;
const OP_HEAD: usize = 1 + 2 + 8 + 4;

/// No honest record is larger; a length beyond it is damage.
const RECORD_MAX: usize = 1 << 30;

impl Transaction {
    /// Adds the replacement of a file.
    pub fn put(&mut self, path: impl Into<String>, bytes: Vec<u8>) {
        self.0.push(Op::Put { path: path.into(), bytes });
    }

    /// Adds a repeatable append.
    pub fn write_at(&mut self, path: impl Into<String>, offset: u64, bytes: Vec<u8>) {
        self.0.push(Op::WriteAt { path: path.into(), offset, bytes });
    }

    /// Returns the changes in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.0
    }

    pub(super) fn into_ops(self) -> Vec<Op> {
        self.0
    }

    /// Tells whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether the transaction is small enough for a record.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.size() <= RECORD_MAX
    }

    fn size(&self) -> usize {
        self.0.iter().map(Op::size).sum()
    }
}

impl Op {
    fn size(&self) -> usize {
        let (Self::Put { path, bytes } | Self::WriteAt { path, bytes, .. }) = self;
        OP_HEAD + path.len() + bytes.len()
    }
}

impl FromIterator<Op> for Transaction {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        Self(ops.into_iter().collect())
    }
}

/// Appends the record of a transaction that [fits](Transaction::fits) to a buffer. One without changes
/// needs no record.
pub fn encode(transaction: &Transaction, buffer: &mut Vec<u8>) {
    if transaction.is_empty() {
        return;
    }
    buffer.reserve(HEAD + transaction.size());
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD]);
    for op in &transaction.0 {
        let (kind, path, offset, bytes) = match op {
            Op::Put { path, bytes } => (PUT, path, 0, bytes),
            Op::WriteAt { path, offset, bytes } => (WRITE_AT, path, *offset, bytes),
        };
        buffer.push(kind);
        buffer.extend_from_slice(&u16::try_from(path.len()).expect("paths here are short").to_le_bytes());
        buffer.extend_from_slice(path.as_bytes());
        buffer.extend_from_slice(&offset.to_le_bytes());
        buffer.extend_from_slice(&u32::try_from(bytes.len()).expect("it fits").to_le_bytes());
        buffer.extend_from_slice(bytes);
    }
    let payload = &buffer[start + HEAD..];
    let length = u32::try_from(payload.len()).expect("it fits");
    let crc = crc32fast::hash(payload);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEAD].copy_from_slice(&crc.to_le_bytes());
}

/// Reads records until the bytes end or are damaged.
#[must_use]
pub fn decode_all(bytes: &[u8]) -> Vec<Transaction> {
    decode(bytes).0
}

/// As [`decode_all`]; tells as well what stopped it.
pub(super) fn decode(bytes: &[u8]) -> (Vec<Transaction>, Rest) {
    let mut reader = Reader(bytes);
    let mut transactions = Vec::new();
    loop {
        let rest = reader.0;
        match next_record(&mut reader) {
            Some(transaction) => transactions.push(transaction),
            None => return (transactions, Rest::of(rest)),
        }
    }
}

/// What is behind the last record that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing, or the filling of a file that is not full.
    Nothing,
    /// A record that was never finished, and so never acknowledged.
    Torn,
    /// A record that went bad, since others follow.
    Damaged,
}

impl Rest {
    fn of(rest: &[u8]) -> Self {
        if rest.iter().all(|&byte| byte == 0) {
            return Self::Nothing;
        }
        let mut reader = Reader(rest);
        let is_followed = reader.u32().zip(reader.u32()).is_some_and(|(length, _)| {
            let skipped = usize::try_from(length).ok().and_then(|length| reader.take(length));
            skipped.is_some() && next_record(&mut reader).is_some()
        });
        if is_followed { Self::Damaged } else { Self::Torn }
    }
}

/// Tells whether a path stays below the root.
#[must_use]
pub fn is_safe(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn next_record(reader: &mut Reader<'_>) -> Option<Transaction> {
    // A record is never empty: nought is the filling behind the last one.
    let length = usize::try_from(reader.u32()?).ok().filter(|length| (1..=RECORD_MAX).contains(length))?;
    let crc = reader.u32()?;
    let payload = reader.take(length)?;
    if crc32fast::hash(payload) != crc {
        return None;
    }
    let mut ops = Reader(payload);
    let mut transaction = Transaction::default();
    while !ops.0.is_empty() {
        transaction.0.push(next_op(&mut ops)?);
    }
    Some(transaction)
}

fn next_op(reader: &mut Reader<'_>) -> Option<Op> {
    let kind = reader.take(1)?[0];
    let path_length = u16::from_le_bytes(reader.take(2)?.try_into().ok()?);
    let path = String::from_utf8(reader.take(usize::from(path_length))?.to_vec()).ok()?;
    let offset = u64::from_le_bytes(reader.take(8)?.try_into().ok()?);
    let length = usize::try_from(reader.u32()?).ok()?;
    let bytes = reader.take(length)?.to_vec();
    match kind {
        _ if !is_safe(&path) => None,
        PUT => Some(Op::Put { path, bytes }),
        WRITE_AT => Some(Op::WriteAt { path, offset, bytes }),
        _ => None,
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_op() -> impl Strategy<Value = Op> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..40);
        ("[a-z]{1,8}(/[a-z]{1,8}){0,2}", bytes, any::<Option<u16>>()).prop_map(|(path, bytes, offset)| {
            match offset {
                None => Op::Put { path, bytes },
                Some(offset) => Op::WriteAt { path, offset: offset.into(), bytes },
            }
        })
    }

    fn any_transactions() -> impl Strategy<Value = Vec<Transaction>> {
        let one = proptest::collection::vec(any_op(), 1..4).prop_map(|ops| ops.into_iter().collect());
        proptest::collection::vec(one, 0..5)
    }

    proptest! {
        /// Cut anywhere, the journal yields a prefix of whole transactions.
        #[test]
        fn a_torn_journal_yields_whole_transactions(transactions in any_transactions(), cut in 0.0..=1.0_f64) {
            let mut bytes = Vec::new();
            transactions.iter().for_each(|transaction| encode(transaction, &mut bytes));
            prop_assert_eq!(&decode_all(&bytes), &transactions);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a test picks a place to cut")]
            let kept = (bytes.len() as f64 * cut) as usize;
            let decoded = decode_all(&bytes[..kept]);
            prop_assert!(transactions.starts_with(&decoded));
        }

        #[test]
        fn damage_never_panics_or_leaves_the_root(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for transaction in decode_all(&bytes) {
                for op in transaction.ops() {
                    let (Op::Put { path, .. } | Op::WriteAt { path, .. }) = op;
                    prop_assert!(is_safe(path));
                }
            }
        }
    }

    #[test]
    fn a_record_that_went_bad_is_told_from_one_that_was_never_finished() {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for number in 0..3_u8 {
            let mut transaction = Transaction::default();
            transaction.put("file", vec![number; 20]);
            encode(&transaction, &mut bytes);
            ends.push(bytes.len());
        }
        assert_eq!(decode(&bytes).1, Rest::Nothing);
        assert_eq!(decode(&[&bytes[..], &[0; 100]].concat()).1, Rest::Nothing);
        let count_and_rest = |bytes: &[u8]| {
            let (transactions, rest) = decode(bytes);
            (transactions.len(), rest)
        };
        assert_eq!(count_and_rest(&bytes[..ends[1] + 12]), (2, Rest::Torn));
        assert_eq!(count_and_rest(&[&bytes[..ends[1] + 12], &[0; 100]].concat()), (2, Rest::Torn));
        bytes[ends[1] - 1] ^= 1;
        assert_eq!(count_and_rest(&bytes), (1, Rest::Damaged));
    }

    #[test]
    fn paths_outside_the_root_are_damage() {
        for path in ["../x", "/etc/x", "a/../../x", "."] {
            let mut transaction = Transaction::default();
            transaction.put(path, vec![1]);
            let mut bytes = Vec::new();
            encode(&transaction, &mut bytes);
            assert_eq!(decode_all(&bytes), [], "{path}");
        }
    }
}
