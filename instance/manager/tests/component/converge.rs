//! Guests that are brought to another program: the first alone, the rest together, and back when they must.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use remotelab_config::registry::Record;
use remotelab_config::{Env, InstanceName};
use remotelab_manager::control::{self, Child, State};
use remotelab_manager::guests::{Converged, Error, Status, Wanted};
use remotelab_manager::operation::{Plan, Step, Tools, Verb, recover};
use remotelab_manager::outside::{Local, Outside, Service};
use serde_json::{Value, json};

use crate::guests::given;
use crate::world::{Running, World};

const OLD: &str = "/opt/old/remotelab";
const NEW: &str = "/opt/new/remotelab";

#[test]
fn all_are_brought_to_the_program_and_stay_what_they_are() {
    let (world, fleet) = fleet(&["a", "b", "c"]);
    let before = world.registry();
    let converged = fleet.converge(&world, None, 1).unwrap();
    assert_eq!(
        statuses(&converged),
        [("a", Status::Restarted), ("b", Status::Restarted), ("c", Status::Restarted)]
    );
    assert!(converged.is_well());
    assert_eq!(world.registry(), before);
    assert_eq!(fleet.programs(), [NEW, NEW, NEW]);
    let again = fleet.converge(&world, None, 1).unwrap();
    assert_eq!(statuses(&again), ["a", "b", "c"].map(|name| (name, Status::AlreadyCurrent)));
    assert_eq!(fleet.renewals().len(), 3, "nobody is started twice");
    assert_eq!(world.operations(), 0);
}

#[test]
fn a_guest_that_does_not_come_up_returns() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let (world, fleet) = fleet(&names);
    // The canary comes up, so the others get their turn.
    fleet.breaks("b");
    let converged = fleet.converge(&world, None, 1).unwrap();
    assert!(!converged.is_well());
    let report = &converged.reports[1];
    assert_eq!((report.name.as_str(), report.status), ("b", Status::Returned));
    let error = report.error.as_deref().unwrap();
    assert!(error.ends_with("b was not converged: b did not start"), "{error}");
    assert_eq!(fleet.programs()[1], OLD);
    assert_eq!(world.operations(), 0);
    assert!(converged.summary().contains("\nreturned              1  b\n"), "{}", converged.summary());
}

#[test]
fn nobody_is_touched_after_a_canary_that_does_not_come_up() {
    let (world, fleet) = fleet(&["a", "b", "c"]);
    fleet.breaks("a");
    let converged = fleet.converge(&world, None, 5).unwrap();
    assert_eq!(statuses(&converged), [("a", Status::Returned), ("b", Status::Left), ("c", Status::Left)]);
    assert_eq!(fleet.renewals(), [("a".to_owned(), NEW.to_owned()), ("a".to_owned(), OLD.to_owned())]);
}

#[test]
fn one_that_runs_but_is_somebody_else_returns() {
    let (world, fleet) = fleet(&["a"]);
    fleet.answers_as("a", "another");
    let converged = fleet.converge(&world, Some("a"), 1).unwrap();
    let error = converged.reports[0].error.as_deref().unwrap();
    assert!(error.ends_with("a does not answer: another instance answers"), "{error}");
    assert_eq!(converged.reports[0].status, Status::Returned);
}

#[test]
fn who_does_not_run_takes_the_program_when_it_is_started() {
    let (world, fleet) = fleet(&["a", "b"]);
    fleet.stop(&name("b")).unwrap();
    let converged = fleet.converge(&world, None, 1).unwrap();
    assert_eq!(statuses(&converged), [("a", Status::Restarted), ("b", Status::NotRunning)]);
    assert!(matches!(fleet.converge(&world, Some("nobody"), 1), Err(Error::Unknown(_))));
    assert!(matches!(fleet.converge(&world, Some("x*"), 1), Err(Error::NoneLike(_))));
}

#[test]
fn a_dry_run_says_it_and_changes_nothing() {
    let (world, fleet) = fleet(&["a"]);
    let wanted = Wanted { dry_run: true, ..wanted(None, 1) };
    let converged = world.guests().converge(&wanted, fleet.outside(), &mut |_| {}).unwrap();
    let report = &converged.json()[0];
    assert_eq!(report["status"], "planned");
    assert_eq!(report["previousChatServerPath"], OLD);
    assert_eq!(report["drift"]["codePathChanged"], true);
    assert_eq!(fleet.renewals(), []);
    assert_eq!(fleet.programs(), [OLD]);
}

#[test]
fn the_owners_public_tools_follow() {
    let (world, fleet) = fleet(&["a"]);
    world.write(".config/remotelab/tools.json", r#"[{"id":"micro-agent","command":"m"}]"#);
    let converged = fleet.converge(&world, None, 1).unwrap();
    assert!(converged.reports[0].runtime_tools_changed);
    assert_eq!(converged.reports[0].runtime_tool_ids, ["micro-agent"]);
    let tools = fs::read_to_string(world.registry().guests[0].paths().tools()).unwrap();
    assert!(tools.contains("micro-agent"), "{tools}");
    assert!(!fleet.converge(&world, None, 1).unwrap().reports[0].runtime_defaults_changed);
}

/// What earlier versions have written for a trial that ran from a copy of its program.
fn agent(world: &World, name: &str, port: u16, environment: &str) -> PathBuf {
    let file = format!("Library/LaunchAgents/com.chatserver.{name}.plist");
    let text = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Label</key><string>com.chatserver.{name}</string>
<key>ProgramArguments</key><array><string>/usr/bin/node</string><string>/srv/trial/chat-server.mjs</string></array>
<key>EnvironmentVariables</key><dict><key>CHAT_PORT</key><string>{port}</string>{environment}</dict>
<key>KeepAlive</key><true/>
<key>WorkingDirectory</key><string>/srv/trial</string>
<key>StandardOutPath</key><string>/l/{name}.log</string>
</dict></plist>
"#
    );
    world.write(&file, &text);
    world.path().join(file)
}

#[test]
fn old_agents_are_seen_as_they_were_before() {
    let world = World::new();
    let legacy = "<key>REMOTELAB_ENABLE_ACTIVE_RELEASE</key><string>1</string>";
    agent(&world, "trial9", 7703, legacy);
    agent(&world, "claude", 7690, "");
    let wanted = Wanted { dry_run: true, ..wanted(None, 1) };
    let converged = world.guests().converge(&wanted, world.system().outside(), &mut |_| {}).unwrap();
    let mut report = converged.json()[0].clone();
    assert_eq!(converged.reports.len(), 1, "the owner's is none of them");
    let path = world.path().join("Library/LaunchAgents/com.chatserver.trial9.plist");
    assert_eq!(
        report["drift"].take(),
        json!({
            "changed": true, "codePathChanged": true, "workingDirectoryChanged": true, "nodePathChanged": false,
            "hasLegacyReleaseFlags": true, "missingShellEnvSnapshot": true, "missingBindHost": true,
            "missingHome": true, "missingInstanceRoot": true, "fileAssetEnvironmentChanged": false,
            "missingPublicBaseUrl": false, "sessionDispatchChanged": true, "bridgeEnvPresent": false,
        })
    );
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "name",
        "label",
        "port",
        "hostname",
        "localBaseUrl",
        "publicBaseUrl",
        "launchAgentPath",
        "previousChatServerPath",
        "previousWorkingDirectory",
        "nextChatServerPath",
        "nextWorkingDirectory",
        "changed",
        "drift",
        "runtimeDefaultsChanged",
        "runtimeToolsChanged",
        "runtimeSelectionChanged",
        "runtimeToolIds",
        "runtimeSelectedTool",
        "dryRun",
        "restarted",
        "backupPath",
        "localReachable",
    ];
    assert_eq!(keys[..expected.len()], expected);
    assert_eq!(report["launchAgentPath"], path.to_str().unwrap());
    assert_eq!((&report["dryRun"], &report["backupPath"]), (&json!(true), &json!("")));
}

#[test]
fn an_old_agent_is_rewritten_and_returns_when_it_does_not_come_up() {
    let (world, fleet) = fleet(&[]);
    let path = agent(&world, "trial9", fleet.open("trial9", ""), "");
    let old = fs::read(&path).unwrap();
    fleet.breaks("trial9");
    let converged = fleet.converge(&world, None, 1).unwrap();
    assert_eq!(statuses(&converged), [("trial9", Status::Returned)]);
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(backups(&path), 0);
    fleet.mends("trial9");
    let converged = fleet.converge(&world, None, 1).unwrap();
    assert_eq!(statuses(&converged), [("trial9", Status::Restarted)]);
    assert_eq!(fs::read(&converged.reports[0].backup_path).unwrap(), old);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("<string>{NEW}</string>")) && !text.contains("node"), "{text}");
    for file in [&path, &converged.reports[0].backup_path] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o077, 0);
    }
    assert_eq!(statuses(&fleet.converge(&world, None, 1).unwrap()), [("trial9", Status::AlreadyCurrent)]);
}

#[test]
fn one_that_was_cut_off_is_brought_back_or_on() {
    for next in 0..=5 {
        for is_written in [false, true] {
            let (world, fleet) = fleet(&["a"]);
            let path = world.path().join("agent.plist");
            let backup = world.path().join("agent.plist.bak.1");
            let record = world.registry().guests[0].clone();
            let steps = vec![
                Step::Hold,
                Step::Keep { program: OLD.into() },
                Step::Define { path: path.clone(), backup: backup.clone(), text: "new".into() },
                Step::Refresh,
                Step::Renew { program: NEW.into() },
            ];
            let plan = Plan { verb: Verb::Converge, record, steps, commit: 4 };
            let is_written = is_written && next > 1 || next > 2;
            world.write("agent.plist", if is_written { "new" } else { "old" });
            if is_written {
                world.write("agent.plist.bak.1", "old");
            }
            let plan = serde_json::to_string(&plan).unwrap();
            let journal = format!("{plan}\n\n{{\"next\":{next},\"undoing\":false}}\n");
            world.write(".config/remotelab/run/operations/a.jsonl", &journal);
            let (paths, env) = (world.paths(), world.env());
            recover(&Tools { paths: &paths, env: &env, outside: fleet.outside() }, &mut |_| {}).unwrap();
            let goes_on = next >= 4;
            assert_eq!(fs::read_to_string(&path).unwrap(), if goes_on { "new" } else { "old" }, "{next}");
            assert_eq!(backup.exists(), goes_on, "{next}");
            let renewals: Vec<String> = fleet.renewals().into_iter().map(|(_, program)| program).collect();
            let expected: &[&str] = match next {
                0 | 5 => &[],
                4 => &[NEW],
                _ => &[OLD],
            };
            assert_eq!(renewals, expected, "{next}");
            assert_eq!(world.operations(), 0);
        }
    }
}

#[test]
fn an_agent_is_loaded_anew_by_launchd() {
    let (world, fleet) = fleet(&[]);
    let path = agent(&world, "trial9", fleet.open("trial9", ""), "");
    let log = world.path().join("launchctl.log");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {log}\n[ \"$1\" = bootout ] && exit 3\n\
         [ \"$1\" = list ] && printf 'PID\\tStatus\\tLabel\\n7\\t0\\tcom.chatserver.trial9\\n'\nexit 0\n",
        log = log.display()
    );
    world.write("bin/launchctl", &script);
    let tool = world.path().join("bin/launchctl");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let mut env: Env = world.env();
    env.set("PATH", world.path().join("bin").to_str().unwrap().to_owned() + ":/usr/bin:/bin");
    let local = Local::new(&world.paths()).with_system(&world.paths(), &env);
    let converged = world.guests().converge(&wanted(None, 1), local.outside(), &mut |_| {}).unwrap();
    assert_eq!(statuses(&converged), [("trial9", Status::Restarted)]);
    let uid = rustix::process::getuid().as_raw();
    let said = fs::read_to_string(&log).unwrap();
    let verbs: Vec<&str> = said.lines().filter(|line| *line != "list").collect();
    assert_eq!(
        verbs,
        [
            &format!("bootout gui/{uid}/com.chatserver.trial9"),
            &format!("unload {}", path.display()),
            &format!("bootstrap gui/{uid} {}", path.display()),
        ]
    );
}

fn backups(path: &Path) -> usize {
    let start = format!("{}.bak.", path.file_name().unwrap().to_str().unwrap());
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(&start)).count()
}

fn statuses(converged: &Converged) -> Vec<(&str, Status)> {
    converged.reports.iter().map(|report| (report.name.as_str(), report.status)).collect()
}

fn wanted(which: Option<&str>, failures: usize) -> Wanted {
    Wanted {
        which: which.map(str::to_owned),
        program: NEW.into(),
        dry_run: false,
        no_restart: false,
        failures,
    }
}

fn name(text: &str) -> InstanceName {
    InstanceName::normalise(text).unwrap()
}

/// A world whose guests run the old program and answer.
fn fleet(names: &[&str]) -> (World, Fleet) {
    let world = World::new();
    let fleet =
        Fleet { running: Running::below(world.path()), guests: Mutex::default(), renewals: Mutex::default() };
    for name in names {
        world.guests().create(&given(name), world.system().outside(), &mut |_| {}).unwrap();
    }
    let mut registry: Vec<Value> = world.registry().guests.iter().map(|guest| json!(guest)).collect();
    for guest in &mut registry {
        let record: Record = serde_json::from_value(guest.clone()).unwrap();
        guest["port"] = fleet.open(record.name.as_str(), &record.id).into();
    }
    world.write(".config/remotelab/guest-instances.json", &json!(registry).to_string());
    (world, fleet)
}

/// Guests that answer on real ports, and what each runs.
struct Fleet {
    running: Running,
    guests: Mutex<BTreeMap<String, Guest>>,
    renewals: Mutex<Vec<(String, String)>>,
}

struct Guest {
    program: Option<PathBuf>,
    is_broken: bool,
    id: Arc<Mutex<String>>,
}

impl Fleet {
    fn outside(&self) -> Outside<'_> {
        Outside { service: self, door: self.running.outside().door }
    }

    fn converge(&self, world: &World, which: Option<&str>, failures: usize) -> Result<Converged, Error> {
        world.guests().converge(&wanted(which, failures), self.outside(), &mut |_| {})
    }

    /// Begins to answer as a guest, whatever it runs, and returns the port.
    fn open(&self, name: &str, id: &str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let id = Arc::new(Mutex::new(id.to_owned()));
        let guest = Guest { program: Some(OLD.into()), is_broken: false, id: Arc::clone(&id) };
        self.guests.lock().unwrap().insert(name.to_owned(), guest);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 512]);
                let body = format!(r#"{{"instanceId":"{}"}}"#, id.lock().unwrap());
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            }
        });
        port
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Guest)) {
        change(self.guests.lock().unwrap().get_mut(name).unwrap());
    }

    fn breaks(&self, name: &str) {
        self.change(name, |guest| guest.is_broken = true);
    }

    fn mends(&self, name: &str) {
        self.change(name, |guest| guest.is_broken = false);
    }

    fn answers_as(&self, name: &str, id: &str) {
        self.change(name, |guest| id.clone_into(&mut guest.id.lock().unwrap()));
    }

    fn programs(&self) -> Vec<String> {
        let guests = self.guests.lock().unwrap();
        guests.values().map(|guest| guest.program.as_ref().unwrap().display().to_string()).collect()
    }

    fn renewals(&self) -> Vec<(String, String)> {
        self.renewals.lock().unwrap().clone()
    }
}

impl Service for Fleet {
    fn start(&self, _: &InstanceName) -> Result<(), control::Error> {
        Ok(())
    }

    fn stop(&self, name: &InstanceName) -> Result<(), control::Error> {
        self.change(name.as_str(), |guest| guest.program = None);
        Ok(())
    }

    fn restart(&self, _: &InstanceName) -> Result<(), control::Error> {
        Ok(())
    }

    fn renew(&self, name: &InstanceName, program: &Path) -> Result<(), control::Error> {
        self.note(name, program);
        let mut refused = false;
        self.change(name.as_str(), |guest| {
            refused = guest.is_broken && program == Path::new(NEW);
            guest.program = (!refused).then(|| program.to_owned());
        });
        if refused { Err(control::Error::Refused(format!("{name} did not start"))) } else { Ok(()) }
    }

    fn report(&self) -> Result<Vec<Child>, control::Error> {
        Ok(self.children())
    }
}

impl Fleet {
    fn note(&self, name: &InstanceName, program: &Path) {
        self.renewals.lock().unwrap().push((name.to_string(), program.display().to_string()));
    }

    fn children(&self) -> Vec<Child> {
        let guests = self.guests.lock().unwrap();
        let children = guests.iter().map(|(name, guest)| Child {
            name: name.clone(),
            state: if guest.program.is_some() { State::Ready } else { State::Stopped },
            pid: guest.program.is_some().then_some(1),
            listening: None,
            program: guest.program.clone().unwrap_or_default(),
            started_at: None,
            failures: 0,
            last_error: None,
        });
        children.collect()
    }
}
