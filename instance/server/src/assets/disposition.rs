//! `Content-Disposition` (RFC 6266): how a browser shall take a file, and what it is called.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the characters that RFC 8187 leaves as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes the header with a fallback for old readers.
pub(crate) fn disposition(inline: bool, name: &str) -> String {
    let kind = if inline { "inline" } else { "attachment" };
    let kept = |c: char| if c.is_ascii_graphic() && !"\"\\%;".contains(c) { c } else { '_' };
    let fallback: String = name.chars().map(kept).collect();
    format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ENCODED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_break_out_of_their_header() {
        assert_eq!(
            disposition(true, "Rep\"ort é\r\n.pdf"),
            "inline; filename=\"Rep_ort____.pdf\"; filename*=UTF-8''Rep%22ort%20%C3%A9%0D%0A.pdf"
        );
        assert_eq!(disposition(false, "a.txt"), "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt");
    }
}
