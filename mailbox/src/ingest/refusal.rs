//! Why a mail is not taken, in the words of each door.

use crate::office::Error;

/// Why a mail was not taken. All but the first two may be tried again.
#[derive(Debug)]
pub(crate) enum Refused {
    UnknownRecipient,
    TooLarge,
    /// As much came within the hour as the settings allow.
    OverQuota,
    /// Too much is under way or waits.
    Busy,
    /// The disk is nearly full.
    NoRoom,
    Trouble(Error),
}

impl Refused {
    /// Tells whether trying again cannot help.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::UnknownRecipient | Self::TooLarge)
    }

    /// Returns the reply of a mail server (RFC 5321, RFC 3463).
    pub(crate) fn smtp(&self) -> &'static str {
        match self {
            Self::UnknownRecipient => "550 5.1.1 no mailbox with this address here",
            Self::TooLarge => "552 5.3.4 the message is too large",
            Self::OverQuota => "451 4.7.1 too many mails within the hour, try again later",
            Self::Busy => "451 4.3.2 too much mail waits here, try again later",
            Self::NoRoom => "452 4.3.1 no room for mail now, try again later",
            Self::Trouble(_) => "451 4.3.0 trouble here, try again later",
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Trouble(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_change_is_refused_for_good() {
        for (refused, is_final) in [
            (Refused::UnknownRecipient, true),
            (Refused::TooLarge, true),
            (Refused::OverQuota, false),
            (Refused::Busy, false),
            (Refused::NoRoom, false),
            (Refused::Trouble(Error::CutOff), false),
        ] {
            let (code, text) = refused.smtp().split_once(' ').unwrap();
            assert_eq!(refused.is_final(), is_final);
            assert_eq!(code.starts_with('5'), is_final, "{refused:?}");
            assert_eq!(text.starts_with("5."), is_final, "{refused:?}");
        }
    }
}
