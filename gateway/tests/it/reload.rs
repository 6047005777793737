//! Routes follow the registry without a restart.

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
        assert_eq!(kept.send("GET", "/trial1/", &[], "").await.status, 404);
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
                    "name": "owner", "id": "owner", "kind": "main", "prefix": "/owner", "hosts": [],
                    "upstream": format!("127.0.0.1:{}", owner.port()),
                    "requests": 0, "sockets": 0,
                },
                {
                    "name": "trial1", "id": "trial1", "kind": "guest", "prefix": "/trial1",
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
