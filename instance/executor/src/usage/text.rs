//! The figures for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Share, Summary};

/// Writes the figures as text. `families` names whose they are, for the title.
#[must_use]
pub fn render(summary: &Summary, zone: &TimeZone, families: &str) -> String {
    let minute = |ms: i64| {
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    };
    let at = |iso: &str| iso.parse::<Timestamp>().map_or(String::new(), |at| minute(at.as_millisecond()));
    let tokens = &summary.tokens;
    let sources = if summary.source == "all" { "all sources" } else { &summary.source };
    let mut lines = vec![
        format!("{families} usage summary ({}d, {sources})", summary.days),
        format!("Window: {} → {}", minute(summary.start_ms), minute(summary.end_ms)),
        format!("Sessions with usage: {} / {}", summary.sessions_with_usage, summary.sessions_scanned),
        format!("Usage events: {}", grouped(summary.usage_event_count as u64)),
        format!("Total tokens: {}", grouped(tokens.total_tokens)),
        part("Input", tokens.input_tokens, tokens.total_tokens, ""),
        part("Cached input", tokens.cached_input_tokens, tokens.input_tokens, " of input"),
        part("Output", tokens.output_tokens, tokens.total_tokens, ""),
        part("Reasoning", tokens.reasoning_tokens, tokens.output_tokens, ""),
    ];
    if let Some(percent) = summary.latest_secondary_used_percent {
        let (at, source) = (at(&summary.latest_secondary_timestamp), &summary.latest_secondary_source);
        lines.push(format!("Latest weekly snapshot: {percent:.1}% at {at} ({source})"));
    }
    section(&mut lines, "By source", &summary.by_source);
    section(&mut lines, "By effort", first(&summary.by_effort, summary.top));
    section(&mut lines, "By model", first(&summary.by_model, summary.top));
    section(&mut lines, "Top directories", &summary.by_cwd);
    section(&mut lines, "Top days", &summary.by_day);
    if !summary.top_sessions.is_empty() {
        lines.push("\nTop sessions".to_owned());
    }
    for session in &summary.top_sessions {
        lines.push(format!(
            "  {} | {} | {} | {} | {} | {}",
            at(&session.latest_timestamp),
            session.source_label,
            session.model,
            session.effort,
            grouped(session.tokens.total_tokens),
            session.cwd
        ));
        if !session.prompt_preview.is_empty() {
            lines.push(format!("    {}", session.prompt_preview));
        }
    }
    lines.join("\n") + "\n"
}

fn first(shares: &[Share], most: usize) -> &[Share] {
    &shares[..shares.len().min(most)]
}

fn section(lines: &mut Vec<String>, title: &str, shares: &[Share]) {
    if shares.is_empty() {
        return;
    }
    lines.push(format!("\n{title}"));
    for share in shares {
        lines.push(format!(
            "  {} — {} ({:.1}%)",
            share.key,
            grouped(share.total_tokens),
            share.share * 100.0
        ));
    }
}

fn part(name: &str, tokens: u64, whole: u64, of: &str) -> String {
    let share = if whole == 0 { 0.0 } else { tokens as f64 * 100.0 / whole as f64 };
    format!("{name}: {} ({share:.1}%{of})", grouped(tokens))
}

/// Writes a number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
