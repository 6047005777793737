use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use remotelab_config::auth::Auth;
use remotelab_config::lock::FileLock;

use super::*;

struct World {
    _root: tempfile::TempDir,
    patient: Patient,
}

impl World {
    /// An instance in order, but for its server.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let paths = InstancePaths::below(root.path());
        for folder in [paths.config(), paths.memory()] {
            fs::create_dir_all(folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        Auth::generate().save(&paths.auth()).unwrap();
        let codex = Tool { id: "codex".into(), builtin: true, available: true, ..Tool::default() };
        let patient = Patient {
            name: "owner".to_owned(),
            paths,
            port: None,
            bind_host: "127.0.0.1".to_owned(),
            asleep: false,
            executors: vec![codex],
        };
        Self { _root: root, patient }
    }

    fn config(&self) -> &Path {
        self.patient.paths.config()
    }

    /// What is not as it should be, the disk apart.
    fn troubles(&self) -> Vec<(&'static str, Status, String, Option<String>)> {
        let findings = examine(&self.patient).into_iter();
        findings
            .filter(|finding| finding.status != Status::Ok && finding.check != "disk")
            .map(|finding| (finding.check, finding.status, finding.message, finding.fix))
            .collect()
    }
}

#[test]
fn an_instance_in_order_has_no_trouble_while_its_server_runs() {
    let world = World::new();
    let stopped = "the chat server of owner does not run".to_owned();
    let up = Some("remotelab up".to_owned());
    assert_eq!(world.troubles(), [("server", Status::Fail, stopped, up)]);
    let _lock = FileLock::try_acquire(&world.patient.paths.server_lock()).unwrap();
    assert_eq!(world.troubles(), []);
}

#[test]
fn what_others_may_read_is_named_with_what_closes_it() {
    let world = World::new();
    let _lock = FileLock::try_acquire(&world.patient.paths.server_lock()).unwrap();
    let auth = world.patient.paths.auth();
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o644)).unwrap();
    let fix =
        format!("chmod -R go-rwx {} {}", world.config().display(), world.patient.paths.memory().display());
    let message = format!("other users of this machine may read {}", auth.display());
    assert_eq!(world.troubles(), [("permissions", Status::Warn, message, Some(fix))]);
    fs::set_permissions(world.config(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(world.troubles()[0].1, Status::Fail);
}

#[test]
fn damage_is_named_record_by_record() {
    let world = World::new();
    let _lock = FileLock::try_acquire(&world.patient.paths.server_lock()).unwrap();
    fs::create_dir_all(world.config().join("chat-history/x")).unwrap();
    fs::write(world.config().join("chat-history/x/session.json"), "{").unwrap();
    fs::write(world.patient.paths.auth(), "{").unwrap();
    fs::set_permissions(world.patient.paths.auth(), fs::Permissions::from_mode(0o600)).unwrap();
    let troubles = world.troubles();
    let checks: Vec<_> = troubles.iter().map(|(check, status, ..)| (*check, *status)).collect();
    assert_eq!(checks, [("token", Status::Fail), ("records", Status::Fail)]);
    assert!(troubles[1].2.contains("chat-history/x/session.json is damaged"), "{troubles:?}");
}

#[test]
fn missing_programs_and_dead_sockets_are_told() {
    let mut world = World::new();
    let _lock = FileLock::try_acquire(&world.patient.paths.server_lock()).unwrap();
    let mine = Tool { name: "Mine".into(), command: "/nowhere/mine".into(), ..Tool::default() };
    world.patient.executors.push(mine);
    let socket = world.config().join("run/gateway.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let left = format!("{} is left of a process that was killed", socket.display());
    let fix = Some(format!("rm {}", socket.display()));
    assert_eq!(
        world.troubles(),
        [
            ("locks", Status::Warn, left, fix),
            ("executors", Status::Warn, "the program of Mine is missing: /nowhere/mine".to_owned(), None),
        ]
    );
}

#[test]
fn without_an_executor_somebody_has_to_install_one() {
    let mut world = World::new();
    let _lock = FileLock::try_acquire(&world.patient.paths.server_lock()).unwrap();
    world.patient.executors[0].available = false;
    let message = "no executor is installed, so a built-in demo answers".to_owned();
    let fix = Some("npm install -g @openai/codex".to_owned());
    assert_eq!(world.troubles(), [("executors", Status::Fail, message, fix)]);
}

#[test]
fn a_missing_folder_is_all_there_is_to_say() {
    let mut world = World::new();
    world.patient.paths = InstancePaths::below(Path::new("/nowhere"));
    let message = "/nowhere/config does not exist".to_owned();
    assert_eq!(world.troubles(), [("folders", Status::Fail, message, Some("remotelab up".to_owned()))]);
    assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
}
