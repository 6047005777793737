//! Setting up an empty home, twice, with stand-ins for the programs of others.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use crate::documents::compare;
use crate::home::Home;

/// Notes how it was called; a unit that was enabled runs from then on.
const SYSTEMCTL: &str = r#"
case "$*" in
  *is-enabled*|*is-active*) [ -e "$HOME/enabled-$4" ]; exit ;;
  *enable*) touch "$HOME/enabled-$4" ;;
esac
"#;

const CLOUDFLARED: &str = r#"
case "$*" in
  *"tunnel create"*) echo "Created tunnel remotelab with id 6ff42ae2-765d-4adf-8112-31c55c1551ef" ;;
esac
"#;

const LOGINCTL: &str = r#"
case "$*" in
  show-user*) [ -e "$HOME/linger" ] && echo Linger=yes || echo Linger=no ;;
  enable-linger*) touch "$HOME/linger" ;;
esac
"#;

const TAILSCALE: &str = r#"
echo '{"Self":{"DNSName":"lab.tail1.ts.net.","TailscaleIPs":["fd7a::1","100.64.0.7"]}}'
"#;

fn furnished() -> Home {
    let home = Home::new();
    for (name, script) in [
        ("systemctl", SYSTEMCTL),
        ("cloudflared", CLOUDFLARED),
        ("loginctl", LOGINCTL),
        ("tailscale", TAILSCALE),
    ] {
        let log = home.path().join("said");
        home.write(
            &format!("bin/{name}"),
            &format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", log.display()),
        );
        let path = home.path().join("bin").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    home
}

/// What a run of `setup` printed, without what differs from machine to machine.
fn set_up(home: &Home, flags: &str) -> String {
    let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
    let output =
        home.remotelab(&format!("setup {flags}")).env("PATH", path).env("USER", "op").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    String::from_utf8(output.stdout).unwrap().replace(home.path().to_str().unwrap(), "~")
}

/// All files but the notes of the stand-ins.
fn files(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if !path.ends_with("said") {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

fn snapshot(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(home.path(), &mut found);
    found
}

#[test]
fn a_second_time_changes_nothing() {
    let home = furnished();
    home.write(".cloudflared/cert.pem", "");
    home.write("password", "correct horse\n");
    home.write(
        "answers.toml",
        &format!(
            "mode = \"cloudflare\"\ndomain = \"example.com\"\nusername = \"rowan\"\n\
             password_file = \"{}\"\nmailbox = \"lab@example.com\"\n",
            home.path().join("password").display()
        ),
    );
    let flags = format!("--answers {}", home.path().join("answers.toml").display());
    let before = snapshot(&home);
    let mut record = format!(
        "$ remotelab setup --answers FILE --dry-run\n{}\n",
        set_up(&home, &format!("{flags} --dry-run"))
    );
    assert_eq!(snapshot(&home), before, "a dry run changes nothing");
    record.push_str(&format!("$ remotelab setup --answers FILE\n{}\n", set_up(&home, &flags)));
    let after = snapshot(&home);
    record.push_str(&format!("$ remotelab setup --answers FILE\n{}\n", set_up(&home, &flags)));
    assert_eq!(
        snapshot(&home).keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "nothing is added"
    );
    assert_eq!(snapshot(&home), after, "nothing is changed");
    record.push_str("$ cat ~/.cloudflared/config.yml\n");
    let settings = fs::read_to_string(home.path().join(".cloudflared/config.yml")).unwrap();
    record.push_str(&settings.replace(home.path().to_str().unwrap(), "~"));
    compare("setup.txt", &record);
    // The gateway takes what was written for it.
    let explained = home.run("gateway explain https://remotelab.example.com/");
    assert!(explained.status.success(), "{}", String::from_utf8_lossy(&explained.stderr));
    let said = fs::read_to_string(home.path().join("said")).unwrap();
    assert_eq!(said.matches("enable --now").count(), 2, "{said}");
    assert_eq!(said.matches("tunnel create").count(), 1, "{said}");
}

#[test]
fn files_of_somebody_else_are_left_alone() {
    let home = furnished();
    home.write("answers.toml", "mode = \"tailscale\"\n");
    home.write(".config/remotelab/gateway.toml", "# mine\n");
    home.write(".config/systemd/user/remotelab.service", "# mine\n");
    let flags = format!("--answers {}", home.path().join("answers.toml").display());
    let text = set_up(&home, &flags);
    assert!(text.contains("\nkept: tailscale: http://lab.tail1.ts.net:7699/owner/\n"), "{text}");
    assert!(text.contains("bind = \"100.64.0.7:7699\""), "{text}");
    for file in [".config/remotelab/gateway.toml", ".config/systemd/user/remotelab.service"] {
        assert_eq!(fs::read_to_string(home.path().join(file)).unwrap(), "# mine\n");
    }
}

#[test]
fn what_is_asked_is_answered_by_lines() {
    let home = furnished();
    let ask = |lines: &str| {
        let mut setup = home.remotelab("setup --dry-run");
        setup.env("PATH", home.path().join("bin")).stdin(Stdio::piped());
        setup.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut setup = setup.spawn().unwrap();
        setup.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        setup.wait_with_output().unwrap()
    };
    let output = ask("lan\nno\n\n");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nwould do: gateway: ") && text.contains("\nleft to you: service: "), "{text}");
    let asked = String::from_utf8(output.stderr).unwrap();
    assert!(asked.starts_with("How do people come in?"), "{asked}");
    let output = ask("lan\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let output = home.run("setup --json");
    assert_eq!(output.status.code(), Some(1), "nothing is asked then");
}

#[test]
fn wrong_answers_are_told() {
    let home = furnished();
    for (text, expected) in [
        ("mode = \"cloudflare\"\n", "error: mode \"cloudflare\" needs a domain\n"),
        ("mode = \"fly\"\n", "unknown variant `fly`"),
        ("modus = \"lan\"\n", "unknown field `modus`"),
    ] {
        home.write("answers.toml", text);
        let output = home.run(&format!("setup --answers {}", home.path().join("answers.toml").display()));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
    assert!(!home.config().exists());
}

/// The page that people and agents follow holds answers that are taken.
#[test]
fn the_answers_in_the_guide_are_taken() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/setup.md");
    let guide = fs::read_to_string(guide).unwrap();
    let blocks: Vec<&str> =
        guide.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    // Others are of the gateway's settings.
    let blocks: Vec<&str> = blocks.into_iter().filter(|block| block.starts_with("mode")).collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        let home = furnished();
        home.write("answers.toml", block);
        let flags = format!("--answers {} --dry-run --json", home.path().join("answers.toml").display());
        let report: serde_json::Value = serde_json::from_str(&set_up(&home, &flags)).unwrap();
        assert!(report["items"].as_array().unwrap().len() > 2, "{report}");
    }
}

#[test]
fn services_are_started_anew() {
    let home = Home::new();
    let error = home.failure("restart");
    assert_eq!(error, "error: RemoteLab is not running\ntry: remotelab up\n");
    assert_eq!(home.failure("start"), "error: no service here starts RemoteLab\ntry: remotelab setup\n");
    let up = home.up();
    assert_eq!(home.out("start"), "RemoteLab is up.\n");
    let before = up.children();
    assert_eq!(
        home.out("restart"),
        "Restarting:\n  owner: restarted\n  mail: restarted\n  gateway: restarted\nDone!\n"
    );
    let after = up.children();
    assert!(before.iter().all(|pid| !after.contains(pid)), "{before:?} {after:?}");
    assert_eq!(home.out("restart bridge"), "Restarting:\n  gateway: restarted\nDone!\n");
    assert_eq!(
        home.failure("stop"),
        "error: RemoteLab runs in a terminal: Ctrl-C there ends it\ntry: remotelab restart\n"
    );
}
