//! What a store should hold, told without files: the reference that real stores are compared with.

use std::collections::BTreeMap;

use proptest::prelude::*;
use remotelab_protocol::event::{Known, Message};
use remotelab_protocol::queue::Queued;
use remotelab_protocol::run::{Manifest, Options};
use remotelab_protocol::{Event, Role, Run, RunId, RunState, Session, SessionId};
use serde_json::Map;

use crate::history::Bodies;
use crate::{Commit, Inserted, Store};

/// Something done to a store. Sessions are meant by their place in id order.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create {
        key: Option<u8>,
    },
    Say {
        session: usize,
        long: bool,
    },
    Start {
        session: usize,
        request: u8,
    },
    Finish {
        session: usize,
    },
    Queue {
        session: usize,
        request: u8,
    },
    Archive {
        session: usize,
        archived: bool,
    },
    Rekey {
        session: usize,
        key: Option<u8>,
    },
    /// Everything is written to its files.
    CarryOut,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model(BTreeMap<SessionId, Talk>);

/// What one session holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) key: Option<String>,
    pub(super) archived: bool,
    pub(super) queue: Vec<String>,
    pub(super) texts: Vec<String>,
    pub(super) runs: BTreeMap<String, (RunId, RunState)>,
    pub(super) active: Option<RunId>,
}

/// How many different request ids and keys there are; few, so that they collide.
const NAMES: u8 = 4;

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let session = || 0..5_usize;
    let key = || proptest::option::of(0..NAMES);
    prop_oneof![
        2 => key().prop_map(|key| Step::Create { key }),
        3 => (session(), any::<bool>()).prop_map(|(session, long)| Step::Say { session, long }),
        4 => (session(), 0..NAMES).prop_map(|(session, request)| Step::Start { session, request }),
        3 => session().prop_map(|session| Step::Finish { session }),
        2 => (session(), 0..NAMES).prop_map(|(session, request)| Step::Queue { session, request }),
        2 => (session(), any::<bool>()).prop_map(|(session, archived)| Step::Archive { session, archived }),
        1 => (session(), key()).prop_map(|(session, key)| Step::Rekey { session, key }),
        2 => Just(Step::CarryOut),
    ]
}

impl Model {
    /// Reads everything that the model knows of from a store that has no damage.
    pub(super) fn of(store: &Store) -> Self {
        for cell in store.sessions() {
            cell.with(|state| {
                let noted = state.session.active_run_id.as_ref();
                assert_eq!(state.active.as_ref().map(|run| &run.id), noted);
            });
        }
        Self::read(store, |run| store.run(run).unwrap().expect("a noted run exists").state)
    }

    /// As [`Model::of`]; a run that cannot be read counts as failed.
    pub(super) fn of_damaged(store: &Store) -> Self {
        Self::read(store, |run| store.run(run).ok().flatten().map_or(RunState::Failed, |run| run.state))
    }

    fn read(store: &Store, state_of: impl Fn(&RunId) -> RunState) -> Self {
        let talks = store.sessions().into_iter().map(|cell| {
            let state = cell.snapshot();
            let events = cell.history().read(1..=state.meta.latest_seq, Bodies::Whole);
            assert_eq!(
                (events.len() as u64, state.meta.size),
                (state.meta.latest_seq, state.meta.latest_seq)
            );
            let run_of = |request: String| {
                let run = cell.change(|draft| draft.run_of(&request)).0?;
                let state = state_of(&run);
                Some((request, (run, state)))
            };
            let talk = Talk {
                key: state.session.external_trigger_id,
                archived: state.session.archived,
                queue: state.session.follow_up_queue.into_iter().map(|item| item.request_id).collect(),
                texts: events
                    .iter()
                    .map(|event| event.body_text().unwrap_or_default().1.to_owned())
                    .collect(),
                runs: (0..NAMES).map(name).filter_map(run_of).collect(),
                active: state.session.active_run_id,
            };
            (cell.id().clone(), talk)
        });
        Self(talks.collect())
    }

    pub(super) fn talks(&self) -> &BTreeMap<SessionId, Talk> {
        &self.0
    }

    /// Takes a step in the model and in a store that must decide alike. `None`: nothing to do.
    pub(super) fn take(&mut self, step: &Step, store: &Store) -> Option<Commit> {
        match *step {
            Step::Create { key } => self.create(key.map(name), store),
            Step::Say { session, long } => {
                let (id, talk) = self.nth(session)?;
                let text =
                    if long { "长 text ".repeat(1_000) } else { format!("text {}", talk.texts.len()) };
                talk.texts.push(text.clone());
                Some(change(store, &id, |draft| {
                    draft.append(tool_result(&text));
                }))
            }
            Step::Start { session, request } => {
                let (id, talk) = self.nth(session)?;
                let request = name(request);
                let free = talk.active.is_none() && !talk.runs.contains_key(&request);
                let manifest = manifest(&id, &request);
                let mut started = false;
                let commit = change(store, &id, |draft| {
                    if draft.run_of(&request).is_none() && draft.active().is_none() {
                        draft.start_run(&manifest, Run::accepted(&manifest, "2026-11-22T07:26:39.203Z"));
                        let asked = Message { content: request.clone(), ..Message::default() };
                        let event = Event::message(Role::User, asked, 1_000);
                        let (run_id, request_id) =
                            (Some(manifest.id.to_string()), Some(manifest.request_id.clone()));
                        draft.append(Event { run_id, request_id, ..event });
                        started = true;
                    }
                });
                assert_eq!(started, free);
                if free {
                    talk.texts.push(request.clone());
                    talk.runs.insert(request, (manifest.id.clone(), RunState::Accepted));
                    talk.active = Some(manifest.id);
                }
                Some(commit)
            }
            Step::Finish { session } => {
                let (id, talk) = self.nth(session)?;
                let active = talk.active.take()?;
                talk.runs.values_mut().filter(|(run, _)| *run == active).for_each(|(_, state)| {
                    *state = RunState::Completed;
                });
                Some(change(store, &id, |draft| {
                    let run = draft.active().cloned().expect("the model says so");
                    draft.put_run(Run { state: RunState::Completed, ..run });
                    draft.release_run();
                }))
            }
            Step::Queue { session, request } => {
                let (id, talk) = self.nth(session)?;
                talk.queue.push(name(request));
                Some(change(store, &id, |draft| draft.session_mut().follow_up_queue.push(queued(request))))
            }
            Step::Archive { session, archived } => {
                let (id, talk) = self.nth(session)?;
                talk.archived = archived;
                Some(change(store, &id, |draft| draft.session_mut().archived = archived))
            }
            Step::Rekey { session, key } => {
                let (id, talk) = self.nth(session)?;
                talk.key = key.map(name);
                Some(change(store, &id, |draft| draft.session_mut().external_trigger_id = key.map(name)))
            }
            Step::CarryOut => Some(store.carry_out()),
        }
    }

    fn create(&mut self, key: Option<String>, store: &Store) -> Option<Commit> {
        let has_key = |talk: &Talk| !talk.archived && talk.key == key;
        let expected = key.is_some() && self.0.values().any(has_key);
        let now = "2026-11-22T07:26:39.203Z";
        let session =
            Session { external_trigger_id: key.clone(), ..Session::new("~".into(), "codex".into(), now) };
        let (cell, inserted) = store.find_or_insert(session);
        match inserted {
            Inserted::Found => {
                assert!(expected && has_key(&self.0[cell.id()]));
                None
            }
            Inserted::New(commit) => {
                assert!(!expected);
                self.0.insert(cell.id().clone(), Talk { key, ..Talk::default() });
                Some(commit)
            }
        }
    }

    fn nth(&mut self, session: usize) -> Option<(SessionId, &mut Talk)> {
        self.0.iter_mut().nth(session).map(|(id, talk)| (id.clone(), talk))
    }
}

fn change(store: &Store, id: &SessionId, change: impl FnOnce(&mut crate::Draft<'_>)) -> Commit {
    store.session(id).expect("the model says so").change(change).1
}

fn name(number: u8) -> String {
    format!("r-{number}")
}

fn tool_result(output: &str) -> Event {
    let kind = Known::ToolResult { tool_name: "bash".into(), output: output.into(), exit_code: 0 };
    Event::new(kind, 2_000)
}

fn queued(request: u8) -> Queued {
    Queued {
        request_id: name(request),
        text: "later".into(),
        queued_at: "2026-11-22T07:26:39.203Z".into(),
        images: Vec::new(),
        tool: None,
        model: None,
        effort: None,
        thinking: false,
        source_context: None,
    }
}

fn manifest(session: &SessionId, request: &str) -> Manifest {
    Manifest {
        id: RunId::random(),
        session_id: session.clone(),
        request_id: request.into(),
        folder: "~".into(),
        tool: "codex".into(),
        prompt: "p".into(),
        internal_operation: None,
        options: Options::default(),
        rest: Map::new(),
    }
}
