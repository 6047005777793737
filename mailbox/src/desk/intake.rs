//! Taking mail in from files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use remotelab_config::atomic;
use serde::Serialize;

use super::{Counts, Desk, Error, Summary};
use crate::address::Address;
use crate::identity::Identity;
use crate::ingest::{Door, Envelope, Reception, Refused};
use crate::places::Place;
use crate::recipient::{self, Guest};
use crate::scan::{MAX_HEADER, Scanner};

/// Bytes handed on at a time.
const PIECE: usize = 64 * 1024;

/// Where mails are read from.
pub enum Source {
    /// A file with one mail, or a folder of them.
    Path(PathBuf),
    /// One mail that is read as it comes.
    Stream {
        /// What it is called in listings.
        name: String,
        /// Its bytes.
        bytes: Box<dyn Read>,
    },
}

/// What `mail ingest` took in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingested {
    /// The mails, in the order of their files. A duplicate shows the mail that was there.
    pub ingested: Vec<Summary>,
    /// How many stand in each queue of the instances concerned.
    pub counts: Counts,
}

/// Whose addresses there are.
struct Directory {
    identity: Identity,
    guests: Vec<Guest>,
}

impl Desk {
    /// Takes mails in, those of a folder in the order of their names. The recipient is the one given,
    /// else the first of the `To` header when it is ours, else the owner.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::TooLarge`], [`Error::NotInitialised`], [`Error::Refused`]. Mails
    /// before the one that failed are in.
    pub fn ingest(&self, sources: Vec<Source>, recipient: Option<&str>) -> Result<Ingested, Error> {
        let directory = Directory { identity: self.must_be_initialised()?, guests: self.places().guests()? };
        let given = recipient.map(super::address).transpose()?;
        let mut ingested = Vec::new();
        let mut concerned: Vec<Place> = Vec::new();
        let mut take = |name: &Path, bytes: &mut dyn Read| -> Result<(), Error> {
            let (summary, place) = self.take_in(&directory, given.as_ref(), name, bytes)?;
            ingested.push(summary);
            if !concerned.contains(&place) {
                concerned.push(place);
            }
            Ok(())
        };
        for source in sources {
            match source {
                Source::Stream { name, mut bytes } => take(Path::new(&name), &mut bytes)?,
                Source::Path(path) => {
                    for path in files(&path)? {
                        let mut file = File::open(&path).map_err(|error| unread(&path, error))?;
                        take(&path, &mut file)?;
                    }
                }
            }
        }
        let mut counts = Counts::default();
        for place in &concerned {
            counts.add(&self.office.store(place)?.counts()?);
        }
        Ok(Ingested { ingested, counts })
    }

    fn take_in(
        &self,
        directory: &Directory,
        given: Option<&Address>,
        name: &Path,
        bytes: &mut dyn Read,
    ) -> Result<(Summary, Place), Error> {
        let mut piece = Vec::new();
        let head = u64::try_from(MAX_HEADER).unwrap_or(u64::MAX);
        bytes.take(head).read_to_end(&mut piece).map_err(|error| unread(name, error))?;
        let (to, guest) = directory.recipient(given, &piece)?;
        let envelope = Envelope { from: None, to, door: Door::File, source: name.display().to_string() };
        let mut reception = Reception::open(&self.office, envelope, None)?;
        while !piece.is_empty() {
            reception.write(&piece).map_err(|refused| match refused {
                Refused::TooLarge => Error::TooLarge(name.to_owned()),
                refused => refused.into(),
            })?;
            piece.resize(PIECE, 0);
            let read = read(bytes, &mut piece).map_err(|error| unread(name, error))?;
            piece.truncate(read);
        }
        let taken = reception.commit()?;
        let item = super::finish(taken.settle(&self.office))?.ok_or(Error::Deleted(taken.id))?;
        Ok((Summary::of(&item), self.place(guest.as_ref())?))
    }
}

impl Directory {
    fn recipient(
        &self,
        given: Option<&Address>,
        head: &[u8],
    ) -> Result<(Address, Option<remotelab_config::InstanceName>), Error> {
        let named = given.cloned().or_else(|| to_header(head));
        let routed = named.and_then(|rcpt| {
            let routed = recipient::resolve(&rcpt, &self.identity, &self.guests).ok()?;
            Some((rcpt, routed.guest))
        });
        match routed {
            Some(routed) => Ok(routed),
            None if given.is_some() => Err(Error::Option("no instance has this address".to_owned())),
            None => Ok((super::address(&self.identity.owner_address())?, None)),
        }
    }
}

fn read(bytes: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match bytes.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn unread(name: &Path, error: io::Error) -> atomic::Error {
    atomic::Error::new("read", name, error)
}

fn to_header(raw: &[u8]) -> Option<Address> {
    let mut scanner = Scanner::new();
    scanner.update(crate::scan::header_block(raw));
    let to = scanner.finish().to;
    // Good enough for a default: the first thing in the list that is an address.
    to.split([',', ';', '<', '>', ' ']).find_map(|word| Address::parse(word).ok())
}

fn files(source: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| unread(source, error);
    if !std::fs::metadata(source).map_err(failed)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(source).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
