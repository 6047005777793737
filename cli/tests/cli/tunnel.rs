//! The tunnel, as the operator sees and changes it.

use crate::documents::compare;
use crate::home::Home;

const SETTINGS: &str = "tunnel: lab\n# mine\ningress:\n  - hostname: \"lab.example.com\"\n    \
    service: http://127.0.0.1:7690\n  # the rest\n  - service: http_status:404\n";

#[test]
fn rules_are_shown_and_changed_as_recorded() {
    let home = Home::new();
    let mut record = String::new();
    let mut say = |line: &str| {
        let output = home.run(line);
        let (code, said) = (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        record.push_str(&format!("$ remotelab {line}\n{text}{said}exit code {code}\n\n"));
    };
    say("tunnel list");
    say("tunnel doctor");
    home.write(".cloudflared/config.yml", SETTINGS);
    home.out("guest-instance create demo --domain example.org --port 7800");
    for line in [
        "tunnel list",
        "tunnel list --json",
        "tunnel doctor",
        "tunnel lead a.example.com http://127.0.0.1:7699",
        "tunnel lead a.example.com http://127.0.0.1:7699",
        "tunnel lead a.example.com nowhere",
        "tunnel remove demo.example.org",
        "tunnel doctor",
        "tunnel doctor --json",
        "tunnel remove a.example.com",
        "tunnel list",
        "tunnel point a.example.com",
        "tunnel",
        "tunnel lead x",
    ] {
        say(line);
    }
    compare("tunnel.txt", &record.replace(home.path().to_str().unwrap(), "~"));
    assert_eq!(std::fs::read_to_string(home.path().join(".cloudflared/config.yml")).unwrap(), SETTINGS);
}
