//! Pages of events and of sessions: what they hold together is what the whole list holds.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::world::{ECHO, World};

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_pages_from_either_end() {
    let world = World::signed_in(ECHO).await;
    let id = worked(&world, 3).await;
    let whole = world.events(&id, "all").await;
    let latest = whole.len() as u64;

    let (mut forward, mut after) = (Vec::new(), json!(0));
    loop {
        let page = page(&world, &id, &format!("filter=all&afterSeq={after}&limit=4")).await;
        forward.extend(events_of(&page));
        after = page["nextCursor"].clone();
        if page["hasMore"] == false {
            break;
        }
        assert_eq!(page["events"].as_array().unwrap().len(), 4);
    }
    assert_eq!((&forward, &after), (&whole, &json!(latest)));

    let (mut backward, mut query) = (Vec::new(), "filter=all&limit=4".to_owned());
    loop {
        let page = page(&world, &id, &query).await;
        assert_eq!(page["latestSeq"], latest);
        backward.splice(0..0, events_of(&page));
        if page["hasMore"] == false {
            assert_eq!(page["nextCursor"], Value::Null);
            break;
        }
        query = format!("filter=all&limit=4&before={}", page["nextCursor"]);
    }
    assert_eq!(backward, whole);
    assert_eq!(
        page(&world, &id, &format!("filter=all&afterSeq={latest}")).await,
        json!({"sessionId": id, "filter": "all", "events": [], "latestSeq": latest, "hasMore": false, "nextCursor": latest})
    );
}

/// However many events are asked for, a page has few of those with long texts, from either end.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_texts_is_short() {
    let world = World::signed_in(ECHO).await;
    let id = told(&world, 6, 1 << 20).await;
    let seqs =
        |page: &Value| events_of(page).iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>();
    for filter in ["all", "visible"] {
        let first = page(&world, &id, &format!("filter={filter}&afterSeq=0")).await;
        assert_eq!(
            (seqs(&first), &first["hasMore"], &first["nextCursor"]),
            (vec![1, 2, 3, 4], &json!(true), &json!(4))
        );
        let rest = page(&world, &id, &format!("filter={filter}&afterSeq=4")).await;
        assert_eq!(
            (seqs(&rest), &rest["hasMore"], &rest["nextCursor"]),
            (vec![5, 6], &json!(false), &json!(6))
        );
        let last = page(&world, &id, &format!("filter={filter}&limit=100")).await;
        assert_eq!(
            (seqs(&last), &last["hasMore"], &last["nextCursor"]),
            (vec![3, 4, 5, 6], &json!(true), &json!(3))
        );
    }
}

/// Read in pieces, all events are one answer with a length and a tag, as any other.
#[tokio::test(flavor = "multi_thread")]
async fn all_events_are_one_answer_with_its_tag() {
    let world = World::signed_in(ECHO).await;
    let id = told(&world, 9, 60_000).await;
    let run = world.turn(&id, "r", "go").await;
    let work = world
        .events(&id, "visible")
        .await
        .into_iter()
        .find(|entry| entry["type"] == "thinking_block")
        .unwrap();
    let block = format!("events/blocks/{}-{}", work["blockStartSeq"], work["blockEndSeq"]);
    for path in ["events?filter=all".to_owned(), block] {
        let path = format!("/api/sessions/{id}/{path}");
        let answer = world.request(Method::GET, &path).send().await.unwrap();
        let (length, tag) = (answer.content_length().unwrap(), answer.headers()["etag"].clone());
        let text = answer.text().await.unwrap();
        assert_eq!(length, text.len() as u64);
        assert_eq!(tag, format!("\"{}\"", hex::encode(&Sha256::digest(&text)[..20])));
        let told: Value = serde_json::from_str(&text).unwrap();
        assert!(events_of(&told).iter().any(|event| event["runId"] == run), "{path}");
        let again = world.request(Method::GET, &path).header("if-none-match", tag).send().await.unwrap();
        assert_eq!((again.status(), again.text().await.unwrap()), (StatusCode::NOT_MODIFIED, String::new()));
    }
    let contents: Vec<usize> = world.events(&id, "all").await[..9]
        .iter()
        .map(|event| event["content"].as_str().unwrap().len())
        .collect();
    assert_eq!(contents, [60_000; 9]);
}

/// Clients that know nothing of pages compare whole answers.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_no_page_gets_none() {
    let world = World::signed_in(ECHO).await;
    let id = worked(&world, 1).await;
    for (path, expected) in [
        (format!("/api/sessions/{id}/events"), &["sessionId", "filter", "events"][..]),
        ("/api/sessions".to_owned(), &["sessions", "archivedCount"]),
        ("/api/sessions?view=refs".to_owned(), &["sessionRefs", "archivedCount"]),
    ] {
        let (_, answer) = world.get(&path).await;
        let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(keys, expected, "{path}");
    }
    for odd in ["limit=0", "limit=many", "afterSeq=-1", "before=x", "afterSeq=1&before=3"] {
        let (status, answer) = world.get(&format!("/api/sessions/{id}/events?{odd}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{odd}: {answer}");
    }
    let odd = world.get("/api/sessions?cursor=odd").await;
    assert_eq!(odd, (StatusCode::BAD_REQUEST, json!({"error": "Invalid cursor"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folded_page_folds_what_is_in_it() {
    let world = World::signed_in(ECHO).await;
    let id = worked(&world, 2).await;
    let (whole, all) = (world.events(&id, "visible").await, world.events(&id, "all").await);
    let second = all.iter().rposition(|event| event["role"] == "user").unwrap() as u64 + 1;
    let last = page(&world, &id, &format!("limit={}", all.len() as u64 - second + 1)).await;
    assert_eq!((events_of(&last), &last["nextCursor"]), (whole[whole.len() / 2..].to_vec(), &json!(second)));
    // From within a turn on: the rest of its work is folded as well.
    let rest = page(&world, &id, &format!("afterSeq={second}")).await;
    assert_eq!(
        events_of(&rest).iter().map(|entry| entry["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["thinking_block", "message"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_goes_on_is_told_again_when_it_is_done() {
    let world = World::signed_in(
        r#"echo '{"type":"item.completed","item":{"id":"i1","type":"agent_message","text":"the answer"}}'
while ! [ -e go ]; do sleep 0.01; done"#,
    )
    .await;
    let id = world.session().await;
    let (_, accepted) = world.send(&id, "r", "go").await;
    world.until(&id, |session| session["latestSeq"] == 3).await;
    let running = page(&world, &id, "afterSeq=1").await;
    assert_eq!(
        (&running["events"][0]["state"], &running["latestSeq"], &running["nextCursor"]),
        (&json!("running"), &json!(3), &json!(1))
    );
    std::fs::write(world.root.path().join("go"), "").unwrap();
    world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    let done = page(&world, &id, "afterSeq=1").await;
    assert_eq!((&done["events"][1]["content"], &done["nextCursor"]), (&json!("the answer"), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_the_list_shows_every_session_once() {
    let world = World::signed_in(ECHO).await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(world.session().await);
    }
    patch(&world, &ids[0], &json!({"pinned": true})).await;
    let (_, whole) = world.get("/api/sessions").await;
    let whole = ids_of(&whole);
    assert_eq!((whole.len(), &whole[0]), (7, &ids[0]));

    let (_, first) = world.get("/api/sessions?limit=3").await;
    assert_eq!((ids_of(&first), &first["hasMore"]), (whole[..3].to_vec(), &json!(true)));
    assert!(first["sessions"][0].get("systemPrompt").is_none());
    // Shown already, and moved to another place of the list: it is not shown again.
    patch(&world, &whole[2], &json!({"pinned": true})).await;
    let mut walked = ids_of(&first);
    let mut cursor = first["nextCursor"].clone();
    while let Some(place) = cursor.as_str() {
        let (_, next) = world.get(&format!("/api/sessions?limit=3&cursor={place}")).await;
        walked.extend(ids_of(&next));
        assert_eq!(next["hasMore"], next["nextCursor"].is_string());
        cursor = next["nextCursor"].clone();
    }
    assert_eq!(walked, whole);

    let (_, refs) = world.get("/api/sessions?view=refs&limit=2").await;
    assert_eq!(refs["sessionRefs"].as_array().unwrap().len(), 2);
    let (_, none) = world.get("/api/sessions/archived?limit=2").await;
    assert_eq!(none, json!({"sessions": [], "archivedCount": 0, "hasMore": false, "nextCursor": null}));
}

/// A session in which some messages were answered.
async fn worked(world: &World, messages: usize) -> String {
    let id = world.session().await;
    for n in 0..messages {
        let (_, accepted) = world.send(&id, &format!("r-{n}"), "go").await;
        world.ended(accepted["run"]["id"].as_str().unwrap()).await;
    }
    id
}

/// A session in which long texts were said.
async fn told(world: &World, messages: usize, length: usize) -> String {
    let id = world.session().await;
    for _ in 0..messages {
        let (status, answer) = world
            .post(&format!("/api/sessions/{id}/assistant-messages"), &json!({"text": "x".repeat(length)}))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    id
}

async fn page(world: &World, id: &str, query: &str) -> Value {
    let (status, page) = world.get(&format!("/api/sessions/{id}/events?{query}")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page
}

async fn patch(world: &World, id: &str, change: &Value) {
    let path = format!("/api/sessions/{id}");
    assert!(world.request(Method::PATCH, &path).json(change).send().await.unwrap().status().is_success());
}

fn events_of(page: &Value) -> Vec<Value> {
    page["events"].as_array().unwrap().clone()
}

fn ids_of(list: &Value) -> Vec<String> {
    list["sessions"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}
