//! The text that an executor is writing at this moment. It is shown and never stored: what was written comes
//! again, whole, as an event.

use std::sync::Arc;

use remotelab_executor::Partial;
use remotelab_protocol::reply;
use tokio::sync::watch;

/// How much of the text is kept, in bytes: its end.
const KEPT: usize = 64 << 10;

/// The text as its pieces make it.
#[derive(Debug, Default)]
pub(super) struct Writing(String);

/// The text as it may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) text: Arc<str>,
    /// Another number is another text.
    pub(crate) revision: u64,
}

impl Writing {
    pub(super) fn note(&mut self, partial: &Partial) {
        match partial {
            Partial::Begun | Partial::Over => self.0.clear(),
            Partial::More(piece) => self.add(piece),
            Partial::Progress => {}
        }
    }

    /// Tells everybody who shows the text what it is now; `None` when it is over.
    pub(super) fn show(writing: Option<&Self>, shown: &watch::Sender<Shown>) {
        let text = writing.map(|writing| reply::visible_so_far(&writing.0)).unwrap_or_default();
        shown.send_if_modified(|shown| {
            let changed = *shown.text != *text;
            if changed {
                *shown = Shown { text: text.into(), revision: shown.revision + 1 };
            }
            changed
        });
    }

    fn add(&mut self, piece: &str) {
        self.0.push_str(piece);
        if self.0.len() <= KEPT {
            return;
        }
        let cut = self.0.ceil_char_boundary(self.0.len() - KEPT * 3 / 4);
        // What was hidden stays so, also when the tag that said so is cut off.
        let open = reply::open_at_end(&self.0[..cut]).map(|tag| format!("<{tag}>")).unwrap_or_default();
        self.0.replace_range(..cut, &open);
    }
}

impl Default for Shown {
    fn default() -> Self {
        Self { text: "".into(), revision: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(partials: &[Partial]) -> Arc<str> {
        let mut writing = Writing::default();
        partials.iter().for_each(|partial| writing.note(partial));
        let (sender, receiver) = watch::channel(Shown::default());
        Writing::show(Some(&writing), &sender);
        receiver.borrow().text.clone()
    }

    fn more(text: &str) -> Partial {
        Partial::More(text.to_owned())
    }

    #[test]
    fn pieces_add_up_until_the_whole_is_there() {
        let pieces = [more("old"), Partial::Begun, more("All "), Partial::Progress, more("done")];
        assert_eq!(&*shown(&pieces), "All done");
        assert_eq!(&*shown(&[more("All done"), Partial::Over]), "");
    }

    #[test]
    fn a_long_text_is_cut_at_its_beginning_and_what_is_hidden_stays_hidden() {
        let piece = more(&"é".repeat(1_000));
        let long: Vec<Partial> = std::iter::repeat_n(piece, 100).collect();
        let text = shown(&long);
        assert!((KEPT / 2..=KEPT).contains(&text.len()), "{}", text.len());
        let hidden: Vec<Partial> = std::iter::once(more("seen <private>")).chain(long).collect();
        assert_eq!(&*shown(&hidden), "");
        let ended: Vec<Partial> = hidden.into_iter().chain([more("</private> after")]).collect();
        assert_eq!(&*shown(&ended), "after");
    }
}
