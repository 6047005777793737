//! Routes follow the registry without a restart.

use remotelab_gateway::route::build::Service;
use serde_json::{Value, json};

use crate::client::{Client, get};
use crate::toy::Toy;
use crate::world::{World, eventually};

#[tokio::test]
async fn a_reload_shows_the_new_route_before_it_answers() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[]).await;
    let mut kept = Client::connect(world.address).await;
    assert_eq!(kept.send("GET", "/trial1/", &[], "").await.status, 404);
    for round in 0..20u64 {
        world.write_registry(&format!("[{}]", world.record("trial1", "", guest.port())));
        let reload = world.admin("POST", "/reload").await;
        assert_eq!(reload, (200, json!({ "generation": 2 + 2 * round })));
        assert_eq!(kept.send("GET", "/trial1/", &[], "").await.text(), "guest");
        world.write_registry("[]");
        assert_eq!(world.admin("POST", "/reload").await.0, 200);
        assert_eq!(kept.send("GET", "/trial1/", &[], "").await.status, 410);
        assert_eq!(kept.send("GET", "/owner/", &[], "").await.text(), "owner");
    }
    let unchanged = world.admin("POST", "/reload").await;
    assert_eq!(unchanged, (200, json!({ "generation": 41 })));
}

#[tokio::test]
async fn a_change_is_noticed_without_a_reload() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[]).await;
    world.write_registry(&format!("[{}]", world.record("trial1", "", guest.port())));
    eventually("the new guest answers", || async { get(world.address, "/trial1/", &[]).await.status == 200 })
        .await;
}

#[tokio::test]
async fn a_broken_registry_keeps_the_last_good_routes() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "", &guest)]).await;
    for broken in ["", "[{\"name\":", "{}", "null"] {
        world.write_registry(broken);
        let (status, answer) = world.admin("POST", "/reload").await;
        assert_eq!((status, &answer["generation"]), (500, &json!(1)), "{broken}");
        assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "guest");
    }
    let good = world.record("trial1", "", guest.port());
    let half_made = json!({ "name": "trial2", "port": 1, "state": "creating" });
    world.write_registry(&json!([good, "nonsense", { "name": "x" }, half_made]).to_string());
    assert_eq!(world.admin("POST", "/reload").await, (200, json!({ "generation": 1 })));
    std::fs::remove_file(&world.settings.registry).unwrap();
    assert_eq!(world.admin("POST", "/reload").await, (200, json!({ "generation": 2 })));
    assert_eq!(get(world.address, "/trial1/", &[]).await.status, 404);
    assert_eq!(get(world.address, "/owner/", &[]).await.text(), "owner");
}

#[tokio::test]
async fn a_deleted_guest_is_gone_for_a_day_and_others_are_not() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::with(&owner, &[("trial1", "T1.example.com", &guest)], |settings| {
        settings.listeners[0].domains = vec!["labels.example".into()];
    })
    .await;
    let record = |name: &str, port| world.record(name, "", port);
    let load = async |records: Value| {
        world.write_registry(&records.to_string());
        assert_eq!(world.admin("POST", "/reload").await.0, 200);
    };
    let status =
        async |host: &str, path: &str| get(world.address, path, &[("host", host)]).await.status.as_u16();
    // Two on one port have no route, but both are there; one that is made is not there yet.
    load(json!([record("trial1", guest.port()), record("trial2", guest.port())])).await;
    let making = json!({ "name": "trial3", "port": 1, "state": "creating" });
    load(json!([record("trial1", guest.port()), record("trial2", guest.port()), making])).await;
    for path in ["/trial1/", "/trial2/", "/trial3/"] {
        assert_eq!(status("127.0.0.1", path).await, 404, "{path}");
    }
    let leaving = json!({ "name": "trial2", "port": 1, "state": "deleting" });
    load(json!([leaving])).await;
    for (host, path, expected) in [
        ("127.0.0.1", "/trial1/x", 410),
        ("127.0.0.1", "/trial2/", 410),
        ("127.0.0.1", "/trial4/", 404),
        ("127.0.0.1", "/", 200),
        ("trial1.labels.example", "/", 410),
        ("trial4.labels.example", "/", 404),
    ] {
        assert_eq!(status(host, path).await, expected, "{host}{path}");
    }
    let page = get(world.address, "/trial1/api/x", &[]).await;
    assert!(page.text().starts_with(r#"{"error":"gone","requestId":""#), "{}", page.text());
    assert_eq!(page.header("cache-control"), Some("no-store"));

    // It is remembered across a restart, and a new guest of that name is there.
    let mut world = world;
    world.running.take().unwrap().shutdown().await;
    let running = remotelab_gateway::start(world.settings.clone()).await.unwrap();
    let address = running.addresses()[0];
    assert_eq!(get(address, "/trial1/", &[]).await.status, 410);
    world.write_registry(&json!([world.record("trial1", "", guest.port())]).to_string());
    running.reloader().reload().await.unwrap();
    assert_eq!(get(address, "/trial1/", &[]).await.text(), "guest");
    assert_eq!(get(address, "/trial2/", &[]).await.status, 410);
}

#[tokio::test]
async fn a_host_name_that_left_is_gone_too() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "T1.example.com", &guest)]).await;
    world.write_registry("[]");
    world.admin("POST", "/reload").await;
    assert_eq!(get(world.address, "/", &[("host", "t1.example.com")]).await.status, 410);
}

#[tokio::test]
async fn a_changed_definition_is_noticed_without_a_reload() {
    let (owner, old, new) = (Toy::hello("owner").await, Toy::hello("old").await, Toy::hello("new").await);
    let world = World::new(&owner, &[]).await;
    let folder = world.folder.path().join("definitions");
    std::fs::create_dir(&folder).unwrap();
    let definition = folder.join("trial1.env");
    std::fs::write(&definition, format!("CHAT_PORT={}\n", old.port())).unwrap();
    let mut record = world.record("trial1", "", 1);
    record["launchAgentPath"] = json!(definition);
    world.write_registry(&json!([record]).to_string());
    world.admin("POST", "/reload").await;
    assert_eq!(get(world.address, "/trial1/", &[]).await.text(), "old");
    std::fs::write(&definition, format!("CHAT_PORT={}\n", new.port())).unwrap();
    eventually("the new port is used", || async {
        get(world.address, "/trial1/", &[]).await.text() == "new"
    })
    .await;
}

#[tokio::test]
async fn services_of_the_settings_have_routes_and_no_key() {
    let (owner, wiki) = (Toy::hello("owner").await, Toy::hello("wiki").await);
    let world = World::with(&owner, &[], |settings| {
        let hosts = vec!["wiki.example".to_owned()];
        settings.services = vec![Service { name: "wiki".into(), port: wiki.port(), hosts, foreign: false }];
        settings.main.hosts = vec!["lab.example".to_owned()];
    })
    .await;
    for (host, path, text) in
        [("h", "/wiki/x", "wiki"), ("wiki.example", "/x", "wiki"), ("lab.example", "/x", "owner")]
    {
        assert_eq!(get(world.address, path, &[("host", host)]).await.text(), text, "{host}{path}");
    }
    let seen = wiki.last();
    assert_eq!((seen.header("x-forwarded-prefix"), seen.header("x-remotelab-gateway")), (None, None));
    assert!(owner.last().header("x-remotelab-gateway").is_some());
}

#[tokio::test]
async fn the_control_socket_tells_what_is_in_force() {
    let (owner, guest) = (Toy::hello("owner").await, Toy::hello("guest").await);
    let world = World::new(&owner, &[("trial1", "T1.example.com", &guest)]).await;
    let (status, routes) = world.admin("GET", "/routes").await;
    assert_eq!(status, 200);
    assert_eq!(
        routes,
        json!({
            "generation": 1,
            "problems": [],
            "routes": [
                {
                    "name": "owner", "id": "owner", "kind": "main", "foreign": false, "prefix": "/owner", "hosts": [],
                    "upstream": format!("127.0.0.1:{}", owner.port()),
                    "requests": 0, "sockets": 0,
                },
                {
                    "name": "trial1", "id": "trial1", "kind": "guest", "foreign": false, "prefix": "/trial1",
                    "hosts": ["t1.example.com"], "upstream": format!("127.0.0.1:{}", guest.port()),
                    "requests": 0, "sockets": 0,
                },
            ],
        })
    );
    let health: Value = world.admin("GET", "/health").await.1;
    let expected =
        json!({ "status": "ok", "generation": 1, "routes": 2, "problems": 0, "panics": 0, "refused": {} });
    assert_eq!(health, expected);
    assert_eq!(world.admin("GET", "/nothing").await.0, 404);
}
