use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use remotelab_config::InstanceName;
use remotelab_config::registry::State;
use remotelab_manager::control::{self, Child};
use remotelab_manager::guests::create::{Error, Name};
use remotelab_manager::guests::hostname::Wish;
use remotelab_manager::guests::{Created, Request};
use remotelab_manager::operation::{Progress, Step};
use remotelab_manager::outside::{Door, Local, Outside, Service};
use serde_json::{Value, json};

use crate::world::World;

#[test]
fn a_trial_is_complete_and_private() {
    let world = World::new();
    let system = world.system();
    let created = create(&world, &trial(), system.outside()).unwrap();
    let record = &created.view.record;
    assert_eq!((record.name.as_str(), record.state), ("trial1", State::Ready));
    let root = world.path().join(".remotelab/instances/trial1");
    assert_eq!(record.instance_root, root);
    assert_eq!(system.started(), ["trial1"]);
    assert_eq!(created.view.status(), "running");
    assert_eq!(created.warnings, Vec::<String>::new());
    let note = fs::read_to_string(root.join("memory/bootstrap.md")).unwrap();
    assert!(note.contains("`trial1`"));
    let token = created.view.token.clone().unwrap();
    assert_eq!(created.view.access_url(), format!("http://127.0.0.1:{}/?token={token}", record.port));
    let mut checked = 0;
    for start in [world.path().join(".remotelab"), world.config()] {
        checked += assert_private(&start);
    }
    assert!(checked > 8);
    // The id, by which a probe tells who answers, and what runs may do are the registry's only additions.
    let stored: Value =
        serde_json::from_slice(&fs::read(world.config().join("guest-instances.json")).unwrap()).unwrap();
    let keys: Vec<&str> = stored[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys[keys.len() - 3..], ["createdAt", "id", "containment"]);
    assert_eq!(stored[0]["containment"], json!({"level": "on"}));
    assert_eq!(keys.len(), 18);
}

#[test]
fn without_a_supervisor_it_is_registered_and_says_so() {
    let world = World::new();
    let created = create(&world, &trial(), Local::new(&world.paths()).outside()).unwrap();
    assert_eq!(created.view.status(), "stopped");
    assert_eq!(created.warnings, ["it does not run yet: `remotelab up` starts it"]);
}

#[test]
fn fifty_creates_at_once_give_fifty_guests() {
    let world = World::new();
    let system = world.system();
    let names: Vec<String> = thread::scope(|scope| {
        let creates: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(|| {
                    create(&world, &trial(), system.outside()).unwrap().view.record.name.to_string()
                })
            })
            .collect();
        creates.into_iter().map(|create| create.join().unwrap()).collect()
    });
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), 50);
    let registry = world.registry();
    let ports: BTreeSet<u16> = registry.guests.iter().map(|record| record.port).collect();
    assert_eq!(ports.len(), 50);
    assert!(ports.is_disjoint(&BTreeSet::from([7689, 7690, 7694, 7698, 7699, 7705])));
    assert!(registry.guests.iter().all(|record| record.state == State::Ready));
    assert_eq!(world.operations(), 0);
}

#[test]
fn a_create_at_work_is_not_cleaned_away() {
    let world = World::new();
    let system = world.system();
    let created = world.guests().create(&trial(), system.outside(), &mut |progress| {
        if matches!(progress, Progress::Done(Step::Furnish { .. })) {
            let other = create(&world, &trial(), system.outside()).unwrap();
            assert_eq!(other.view.record.name.as_str(), "trial2");
        }
    });
    assert_eq!(created.unwrap().view.record.name.as_str(), "trial1");
}

#[test]
fn a_guest_that_does_not_start_leaves_nothing() {
    let world = World::new();
    let error = create(&world, &given("demo"), refusing()).unwrap_err();
    assert!(matches!(&error, Error::Failed(_)));
    assert_eq!(error.to_string(), "demo was not created");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no");
    assert_eq!(world.registry().guests, []);
    assert!(!world.path().join(".remotelab/instances/demo").exists());
    assert_eq!(world.operations(), 0);
}

#[test]
fn names_folders_ports_and_hosts_are_taken_once() {
    let world = World::new();
    let system = world.system();
    let agent = format!("CHAT_PORT {}", world.first_guest_port());
    world.write("Library/LaunchAgents/com.chatserver.trial9.plist", &agent);
    world.write("full/file", "x");
    let first =
        create(&world, &Request { hostname: host("a.b"), ..given("Demo") }, system.outside()).unwrap();
    assert!(first.view.record.port > world.first_guest_port(), "the agent has it");
    assert_eq!(create(&world, &trial(), system.outside()).unwrap().view.record.name.as_str(), "trial10");
    let refused = |request: Request| create(&world, &request, system.outside()).unwrap_err().to_string();
    assert_eq!(refused(given("demo")), "there is a guest demo already");
    assert_eq!(refused(given("trial9")), "there is a guest trial9 already");
    for reserved in ["owner", "admin", "gateway", "mail"] {
        assert_eq!(refused(given(reserved)), format!("the name {reserved} is reserved"));
    }
    let with_port = |port| Request { port: Some(port), ..given("x") };
    assert_eq!(refused(with_port(7699)), "port 7699 belongs to another instance or service");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(refused(with_port(port)), format!("port {port} is in use by another program"));
    assert_eq!(
        refused(Request { hostname: host("A.B"), ..given("x") }),
        "host name a.b belongs to another guest"
    );
    for root in [world.path().join("full"), first.view.record.instance_root.join("inside")] {
        let message = format!("the folder {} is in use", root.display());
        assert_eq!(refused(Request { root: Some(root), ..given("x") }), message);
    }
    assert_eq!(world.registry().guests.len(), 2);
}

#[test]
fn the_tunnel_and_the_defaults_give_a_host_name() {
    let world = World::new();
    let system = world.system();
    world.write(
        ".cloudflared/config.yml",
        &format!(
            "tunnel: x\ningress:\n  - hostname: remotelab.example.com\n    service: http://127.0.0.1:{}\n",
            world.owner_port()
        ),
    );
    let created = create(&world, &trial(), system.outside()).unwrap();
    assert_eq!(created.view.record.public_base_url, "https://trial1.example.com");
    let by_hand = "have the name trial1.example.com lead to the tunnel: nothing here can";
    assert_eq!(created.warnings[0], by_hand);
    let defaults = r#"{"publicDomain":"b.org","mainlandBaseUrl":"https://cn.example.net/"}"#;
    world.write(".config/remotelab/guest-instance-defaults.json", defaults);
    let created = create(&world, &trial(), system.outside()).unwrap();
    assert_eq!(created.view.record.hostname, "trial2.b.org");
    assert_eq!(created.view.bridge_base, "https://cn.example.net/trial2");
    let local = Wish { local_only: true, ..Wish::default() };
    let created = create(&world, &Request { hostname: local, ..trial() }, system.outside()).unwrap();
    assert_eq!(created.view.record.hostname, "");
}

#[test]
fn links_survive_a_damaged_guest() {
    let world = World::new();
    let system = world.system();
    for _ in 0..3 {
        create(&world, &trial(), system.outside()).unwrap();
    }
    let auth = |name: &str| world.path().join(format!(".remotelab/instances/{name}/config/auth.json"));
    fs::write(auth("trial1"), r#"{"token":""}"#).unwrap();
    fs::remove_file(auth("trial2")).unwrap();
    let views = world.guests().links().unwrap();
    let problems: Vec<Option<String>> = views.iter().map(|view| view.problem.clone()).collect();
    let expected = format!("the token in {} is not 64 hex digits", auth("trial1").display());
    assert_eq!(problems, [Some(expected), None, None]);
    let tokens: Vec<bool> = views.iter().map(|view| view.token.is_some()).collect();
    assert_eq!(tokens, [false, false, true]);
    let nobody = InstanceName::normalise("nobody").unwrap();
    assert_eq!(world.guests().link(&nobody).unwrap_err().to_string(), "there is no guest nobody");
}

#[test]
fn the_local_gateway_is_told_and_its_link_shown() {
    let world = World::new();
    let socket = world.config().join("run/gateway.sock");
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let gateway = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 512];
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..read]);
        }
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{{\"generation\":2}}").unwrap();
        (listener, String::from_utf8(request).unwrap())
    });
    let created = create(&world, &trial(), Local::new(&world.paths()).outside()).unwrap();
    let (_listener, request) = gateway.join().unwrap();
    assert!(request.starts_with("POST /reload HTTP/1.1\r\n"));
    assert_eq!(created.view.gateway_base.as_deref(), Some("http://127.0.0.1:7699/trial1"));
}

/// A system in which nothing starts.
struct Refusing;

fn refusing() -> Outside<'static> {
    Outside { service: &Refusing, door: &Refusing }
}

impl Service for Refusing {
    fn start(&self, _: &InstanceName) -> Result<(), control::Error> {
        Err(control::Error::Refused("no".into()))
    }

    fn stop(&self, _: &InstanceName) -> Result<(), control::Error> {
        Ok(())
    }

    fn restart(&self, name: &InstanceName) -> Result<(), control::Error> {
        self.start(name)
    }

    fn report(&self) -> Result<Vec<Child>, control::Error> {
        Ok(Vec::new())
    }
}

impl Door for Refusing {
    fn reload(&self) -> io::Result<()> {
        unreachable!("nothing has changed")
    }
}

fn create(world: &World, request: &Request, outside: Outside<'_>) -> Result<Created, Error> {
    world.guests().create(request, outside, &mut |_| {})
}

pub(crate) fn trial() -> Request {
    Request {
        name: Name::NextTrial,
        port: None,
        hostname: Wish::default(),
        root: None,
        session_expiry_days: 30,
        login: None,
        isolated: false,
        sync_mail_routes: true,
    }
}

pub(crate) fn given(name: &str) -> Request {
    Request { name: Name::Given(name.to_owned()), ..trial() }
}

fn host(name: &str) -> Wish {
    Wish { hostname: Some(name.to_owned()), ..Wish::default() }
}

/// Walks a tree; nothing in it may be open to other users. Returns how many entries there were.
pub(crate) fn assert_private(path: &Path) -> usize {
    let data = fs::symlink_metadata(path).unwrap();
    assert_eq!(data.permissions().mode() & 0o077, 0, "{}", path.display());
    if data.is_dir() {
        1 + fs::read_dir(path).unwrap().map(|entry| assert_private(&entry.unwrap().path())).sum::<usize>()
    } else {
        1
    }
}

#[test]
fn the_owners_tools_are_seeded() {
    let world = World::new();
    let tools = json!([{"id": "fast", "command": "codex", "runtimeFamily": "codex-json"}]);
    world.write(".config/remotelab/tools.json", &tools.to_string());
    let selection = r#"{"selectedTool":"fast","selectedModel":"m1"}"#;
    world.write(".config/remotelab/ui-runtime-selection.json", selection);
    create(&world, &trial(), world.system().outside()).unwrap();
    let read = |file: &str| -> Value {
        let path = world.path().join(".remotelab/instances/trial1/config").join(file);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    assert_eq!(read("tools.json"), tools);
    assert_eq!(read("ui-runtime-selection.json")["selectedModel"], "m1");
}
