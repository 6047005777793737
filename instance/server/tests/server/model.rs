//! Generated stories against a simple model: what was acknowledged is worked on once, in order, whatever
//! dies.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::{PATIENCE, World};

/// Stories that are told at every run. One that ever fails stays in the list.
const SEEDS: [u64; 7] = [1, 2, 3, 4, 5, 6, 6_386_048_480_377_932_145];
const STEPS: usize = 28;
const SESSIONS: usize = 3;

/// Notes that it ran; a slow message waits for the file `go`.
const TOOL: &str = r#"for last; do :; done
text=$(printf '%s' "$last" | tail -n 1)
echo "$REMOTELAB_RUN_ID" >> ran
echo '{"type":"thread.started","thread_id":"t"}'
case "$text" in *slow) while [ ! -e go ]; do sleep 0.05; done ;; esac
printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"did it"}}\n'"#;

/// `REMOTELAB_STORIES=100` tells as many new ones instead, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_agrees_with_the_model_whatever_dies() {
    match std::env::var("REMOTELAB_STORIES").ok().and_then(|count| count.parse::<u32>().ok()) {
        Some(count) => {
            for _ in 0..count {
                Story::tell(rand::random()).await;
            }
        }
        // One that nobody has heard before comes with them; its failure tells its seed.
        None => {
            let seeds = SEEDS.into_iter().chain([rand::random()]);
            drop(futures_util::future::join_all(seeds.map(Story::tell)).await);
        }
    }
}

/// What is done to a server.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create {
        key: u64,
    },
    Post {
        session: usize,
        slow: bool,
    },
    /// Sends the message again, several times at once.
    Repeat {
        session: usize,
    },
    /// Kills the server while a message is on its way to it.
    PostAndKill {
        session: usize,
        after: Duration,
    },
    Cancel {
        session: usize,
    },
    Archive {
        session: usize,
        archived: bool,
    },
    /// Ends the server, every other time in order, and starts another one.
    End,
    /// Lets all slow messages go on.
    Release,
}

/// What a session should hold.
#[derive(Debug, Default)]
struct Talk {
    id: String,
    key: u64,
    archived: bool,
    /// Acknowledged messages in their order, each with the run that it was told of.
    said: Vec<(String, Option<String>)>,
    was_cancelled: bool,
}

struct Story {
    seed: u64,
    world: World,
    talks: Vec<Talk>,
    messages: usize,
    /// What was done so far, for whoever reads the failure.
    steps: Vec<Step>,
}

impl Story {
    async fn tell(seed: u64) {
        let world = World::in_a_process(TOOL).await;
        let mut story = Self { seed, world, talks: Vec::new(), messages: 0, steps: Vec::new() };
        let mut chance = Chance(seed);
        for _ in 0..STEPS {
            let step = chance.step();
            story.steps.push(step);
            story.take(step).await;
        }
        story.end().await;
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Create { key } => self.create(key).await,
            Step::Post { session, slow } => {
                let Some((id, text)) = self.next_message(session, slow) else { return };
                let answer = self.post(&id, &text).await.unwrap();
                self.answered(session, text, answer, false);
            }
            Step::Repeat { session } => {
                let Some(talk) = self.nth(session) else { return };
                let (id, said) = (talk.id.clone(), talk.said.clone());
                for (text, run) in said.iter().rev().take(2) {
                    let again = (0..3).map(|_| self.post(&id, text));
                    for answer in futures_util::future::join_all(again).await {
                        self.check_known(text, run.as_ref(), &answer.unwrap());
                    }
                }
            }
            Step::PostAndKill { session, after } => {
                let Some((id, text)) = self.next_message(session, false) else { return };
                let mut process = self.world.process.take().unwrap();
                let (answer, ()) = tokio::join!(self.post(&id, &text), async {
                    tokio::time::sleep(after).await;
                    process.kill().await.unwrap();
                });
                self.world.kill_and_start_again().await;
                // Whoever got no answer sends the same again, and whoever got one would be told so.
                let again = self.post(&id, &text).await.unwrap();
                match answer {
                    Some(answer) if answer.0 == StatusCode::ACCEPTED => {
                        self.check_known(&text, run(&answer.1).as_ref(), &again);
                        self.answered(session, text, answer, false);
                    }
                    _ => self.answered(session, text, again, true),
                }
            }
            Step::Cancel { session } => {
                let Some(talk) = self.nth(session) else { return };
                talk.was_cancelled = true;
                let path = format!("/api/sessions/{}/cancel", talk.id);
                let (status, answer) = self.world.post(&path, &json!({})).await;
                assert_eq!(status, StatusCode::OK, "{answer}\n{self:?}");
            }
            Step::Archive { session, archived } => {
                let Some(talk) = self.nth(session) else { return };
                talk.archived = archived;
                let path = format!("/api/sessions/{}", talk.id);
                let patch = self.world.request(Method::PATCH, &path).json(&json!({"archived": archived}));
                assert_eq!(patch.send().await.unwrap().status(), StatusCode::OK, "{self:?}");
            }
            Step::End if self.steps.len().is_multiple_of(2) => self.world.kill_and_start_again().await,
            Step::End => {
                self.world.stop().await;
                self.world.start_process().await;
            }
            Step::Release => {
                let go = self.world.root.path().join("go");
                std::fs::write(&go, "").unwrap();
                self.until_idle(false).await;
                std::fs::remove_file(go).unwrap();
            }
        }
    }

    async fn create(&mut self, key: u64) {
        if self.talks.len() == SESSIONS {
            return;
        }
        let body = json!({"folder": self.world.root.path(), "tool": "echo", "externalTriggerId": format!("k:{key}")});
        // Two at once agree.
        let create = || self.world.post("/api/sessions", &body);
        let ((status, answer), other) = tokio::join!(create(), create());
        assert_eq!((status, other.0), (StatusCode::CREATED, StatusCode::CREATED), "{answer}\n{self:?}");
        let id = answer["session"]["id"].as_str().unwrap().to_owned();
        assert_eq!(other.1["session"]["id"], id, "{self:?}");
        let known = self.talks.iter().find(|talk| talk.key == key && !talk.archived);
        match known {
            // Several may have one key, since an archived one can come back.
            Some(_) => assert!(
                self.talks.iter().any(|talk| talk.id == id && talk.key == key && !talk.archived),
                "{self:?}"
            ),
            None => {
                assert!(self.talks.iter().all(|talk| talk.id != id), "{self:?}");
                self.talks.push(Talk { id, key, ..Talk::default() });
            }
        }
    }

    /// Returns the session's id and the text of a message that was never sent before.
    fn next_message(&mut self, session: usize, slow: bool) -> Option<(String, String)> {
        self.messages += 1;
        let text = format!("m{} {}", self.messages, if slow { "slow" } else { "quick" });
        let id = self.nth(session)?.id.clone();
        Some((id, text))
    }

    /// Posts a message whose request id is its text; `None` when the connection broke.
    async fn post(&self, session: &str, text: &str) -> Option<(StatusCode, Value)> {
        let path = format!("/api/sessions/{session}/messages");
        let message = json!({"requestId": text, "text": text});
        let answer = self.world.request(Method::POST, &path).json(&message).send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    /// Checks the answer to a message and keeps it in mind; it may have arrived before if it was repeated.
    fn answered(&mut self, session: usize, text: String, answer: (StatusCode, Value), repeated: bool) {
        let (status, body) = answer;
        let archived = self.nth(session).is_some_and(|talk| talk.archived);
        if archived && status == StatusCode::CONFLICT {
            return;
        }
        let arrived_before = repeated && status == StatusCode::OK && body["duplicate"] == true;
        let accepted = status == StatusCode::ACCEPTED && body["duplicate"] == false && !archived;
        assert!(accepted || arrived_before, "{text}: {status} {body}\n{self:?}");
        if accepted {
            assert_ne!(body["queued"] == true, body["run"].is_object(), "{text}: {body}\n{self:?}");
        }
        let run = run(&body);
        if let Some(talk) = self.nth(session) {
            talk.said.push((text, run));
        }
    }

    fn check_known(&self, text: &str, run_before: Option<&String>, answer: &(StatusCode, Value)) {
        let (status, body) = answer;
        assert_eq!((*status, &body["duplicate"]), (StatusCode::OK, &json!(true)), "{text}: {body}\n{self:?}");
        if run_before.is_some() {
            assert_eq!(run(body).as_ref(), run_before, "{text}: {body}\n{self:?}");
        }
    }

    /// Waits until nothing is at work; at the `end` nothing waits, either.
    async fn until_idle(&self, end: bool) {
        let deadline = Instant::now() + PATIENCE * 2;
        for talk in &self.talks {
            loop {
                let (_, answer) = self.world.get(&format!("/api/sessions/{}", talk.id)).await;
                let activity = &answer["session"]["activity"];
                if activity["run"]["state"] == "idle" && (!end || activity["queue"]["count"] == 0) {
                    break;
                }
                assert!(Instant::now() < deadline, "it is stuck: {answer}\n{self:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn end(mut self) {
        for session in 0..self.talks.len() {
            self.take(Step::Archive { session, archived: false }).await;
        }
        std::fs::write(self.world.root.path().join("go"), "").unwrap();
        self.until_idle(true).await;
        let ran = std::fs::read_to_string(self.world.root.path().join("ran")).unwrap_or_default();
        let mut times = BTreeMap::<&str, usize>::new();
        ran.lines().for_each(|run| *times.entry(run).or_default() += 1);
        for talk in &self.talks {
            let events = self.world.events(&talk.id, "all").await;
            let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
            assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "{self:?}");
            let of = |role: &'static str| {
                events.iter().filter(move |event| event["type"] == "message" && event["role"] == role)
            };
            let delivered: Vec<String> = of("user").flat_map(texts).collect();
            let said: Vec<&String> = talk.said.iter().map(|(text, _)| text).collect();
            assert_eq!(delivered.iter().collect::<Vec<_>>(), said, "{self:?}");
            for asked in of("user") {
                let id = asked["runId"].as_str().unwrap();
                let (_, run) = self.world.get(&format!("/api/runs/{id}")).await;
                let answers = of("assistant").filter(|event| event["runId"] == id).count();
                let ran = times.get(id).copied().unwrap_or_default();
                match run["run"]["state"].as_str().unwrap() {
                    "completed" => assert_eq!((ran, answers), (1, 1), "{run}\n{self:?}"),
                    "cancelled" if talk.was_cancelled => {
                        assert!(ran <= 1 && answers <= 1, "{run} ran {ran} times\n{self:?}");
                    }
                    _ => panic!("{run}\n{self:?}"),
                }
            }
        }
        self.world.kill().await;
    }

    fn nth(&mut self, session: usize) -> Option<&mut Talk> {
        self.talks.get_mut(session)
    }
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}\n{:#?}\nsteps {:?}", self.seed, self.talks, self.steps)
    }
}

/// The messages that a user's message of the history is made of.
fn texts(event: &Value) -> Vec<String> {
    let content = event["content"].as_str().unwrap();
    let Some((_, list)) = content.split_once("while RemoteLab was busy:\n\n") else {
        return vec![content.to_owned()];
    };
    list.split("\n\n").map(|item| item.split_once(". ").unwrap().1.to_owned()).collect()
}

fn run(body: &Value) -> Option<String> {
    body["run"]["id"].as_str().map(str::to_owned)
}

/// Reproducible chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn step(&mut self) -> Step {
        let session = usize::try_from(self.below(SESSIONS as u64)).unwrap();
        match self.below(20) {
            0..=2 => Step::Create { key: self.below(2) },
            3..=8 => Step::Post { session, slow: self.below(2) == 0 },
            9 | 10 => Step::Repeat { session },
            11..=13 => Step::PostAndKill { session, after: Duration::from_millis(self.below(12)) },
            14 => Step::Cancel { session },
            15 | 16 => Step::Archive { session, archived: self.below(2) == 0 },
            17 | 18 => Step::End,
            _ => Step::Release,
        }
    }
}
