//! Where sessions come from, and what people call it.

use serde_json::Value;

use crate::Session;

/// Returns what people call a source that came without a name.
#[must_use]
pub fn name(id: &str) -> String {
    match id {
        "github" => "GitHub".to_owned(),
        "github-ci" => "GitHub CI".to_owned(),
        _ => title_case(id),
    }
}

/// Tells whether anybody who can write a mail may have written what a source brings.
#[must_use]
pub fn is_mail(id: &str) -> bool {
    matches!(id, "email" | "mail")
}

/// Tells whether an `appId`, by which older releases named sources as well, names a template.
#[must_use]
pub fn is_template(app_id: &str) -> bool {
    app_id.starts_with("app_") || app_id.starts_with("app-")
}

/// Gives a session the source that its stored row tells, if that is of a release that knew only `appId`, and a
/// source without a name its usual one.
pub fn adopt(session: &mut Session, row: &Value) {
    let text = |key: &str| {
        row.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let of_app = text("sourceId").is_none().then(|| text("appId")).flatten().filter(|id| !is_template(id));
    if let Some(id) = &of_app {
        session.source_id.clone_from(id);
    }
    if text("sourceName").is_none() {
        let given = of_app.and_then(|_| text("appName"));
        session.source_name = given.unwrap_or_else(|| name(&session.source_id));
    }
}

/// `my-bot` → `My Bot`.
fn title_case(id: &str) -> String {
    let words = id.split(['-', '_', ' ']).filter(|word| !word.is_empty()).map(|word| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[test]
    fn an_older_row_tells_its_source_by_its_app() {
        for (fields, expected) in [
            (json!({}), ("chat", "Chat")),
            (json!({"appId": "github", "appName": "Our GitHub"}), ("github", "Our GitHub")),
            (json!({"appId": "my-bot"}), ("my-bot", "My Bot")),
            (json!({"appId": "app_welcome", "appName": "Welcome"}), ("chat", "Chat")),
            (json!({"sourceId": "email", "appId": "github", "appName": "x"}), ("email", "Email")),
            (json!({"sourceId": "email", "sourceName": "Post"}), ("email", "Post")),
        ] {
            let mut row = fields.clone();
            row["id"] = json!("0".repeat(32));
            let mut session = Session::deserialize(&row).unwrap();
            adopt(&mut session, &row);
            assert_eq!((session.source_id.as_str(), session.source_name.as_str()), expected, "{fields}");
        }
    }
}
