//! What the gateway tells, for people.

use serde_json::Value;

pub(super) fn routes(told: &Value) -> String {
    let mut text = String::new();
    for route in list(&told["routes"]) {
        let hosts: Vec<&str> = list(&route["hosts"]).iter().filter_map(Value::as_str).collect();
        text.push_str(&format!(
            "{:<24} {:<22} {:>4} requests {:>4} sockets  {}\n",
            word(&route["prefix"]),
            word(&route["upstream"]),
            route["requests"],
            route["sockets"],
            hosts.join(" ")
        ));
    }
    for problem in list(&told["problems"]) {
        text.push_str(&format!("look: {}\n", word(problem)));
    }
    text
}

pub(super) fn health(told: &Value) -> String {
    let mut text = format!(
        "{}, generation {}, {} routes, {} records need a look, {} defects\n",
        word(&told["status"]),
        told["generation"],
        told["routes"],
        told["problems"],
        told["panics"]
    );
    for (reason, count) in told["refused"].as_object().into_iter().flatten() {
        text.push_str(&format!("refused for {reason}: {count}\n"));
    }
    text
}

pub(super) fn reload(told: &Value) -> String {
    format!("generation {} is in force\n", told["generation"])
}

pub(super) fn drain(_: &Value) -> String {
    "it finishes what is in work and ends\n".to_owned()
}

pub(super) fn explained(told: &Value) -> String {
    let outcome = match word(&told["decision"]) {
        "forward" => format!(
            "goes to {} by {} as {} at {}",
            word(&told["tenant"]),
            word(&told["by"]),
            word(&told["target"]),
            word(&told["upstream"])
        ),
        "redirect" => format!("is led on to {} ({})", word(&told["location"]), told["status"]),
        "root" => "gets the root page".to_owned(),
        "options" => "is told what the server can do (204)".to_owned(),
        _ => match &told["status"] {
            Value::Null => format!("is not explained: {}", word(&told["code"])),
            status => format!("is refused: {status} {}", word(&told["code"])),
        },
    };
    let mut text = format!("{outcome}\n");
    if let Some(listener) = told["listener"].as_str() {
        text.push_str(&format!("listener: {listener}\n"));
    }
    for (name, value) in told["headers"].as_object().into_iter().flatten() {
        text.push_str(&format!("header: {name}: {}\n", word(value)));
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}
