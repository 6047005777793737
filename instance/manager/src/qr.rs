//! A link as a QR code made of half-block characters.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Draws a link for a terminal, light on dark with its quiet zone, or `None` when it is too long for a
/// code.
#[must_use]
pub fn render(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    // Scanners expect dark modules on a light ground, and most terminals are dark: draw the ground.
    let drawing = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Some(drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_two_rows_of_modules_a_line() {
        let drawing = render("http://127.0.0.1:7699/owner/").unwrap();
        let lines: Vec<&str> = drawing.lines().collect();
        // Version 2 has 25 modules a side, and four more on each side stay light.
        assert_eq!(lines.len(), 17);
        assert!(lines.iter().all(|line| line.chars().count() == 33));
        assert_eq!(lines[0], "█".repeat(33));
        assert!(lines[2].starts_with("████ ▄▄▄▄▄ █"));
        assert_eq!(render(&"x".repeat(5000)), None);
    }
}
