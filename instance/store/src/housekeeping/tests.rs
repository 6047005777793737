use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use remotelab_config::InstancePaths;
use remotelab_config::lock::FileLock;
use serde_json::json;

use super::*;

const SESSION: &str = "12d04b72795d9cef53d6aa1749cb0af7";
const OLD: &str = "2026-01-01T00:00:00.000Z";
const DAYS_90: Duration = Duration::from_hours(24 * 90);

struct World {
    _root: tempfile::TempDir,
    paths: InstancePaths,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let world = Self { paths: InstancePaths::below(root.path()), _root: root };
        world.write(&format!("chat-history/{SESSION}/session.json"), &session(None));
        world
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.paths.config().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Makes a file that has not changed for a year.
    fn old(&self, path: &str, text: &str) -> PathBuf {
        let path = self.write(path, text);
        let year = SystemTime::now() - Duration::from_hours(24 * 365);
        fs::File::options().write(true).open(&path).unwrap().set_modified(year).unwrap();
        path
    }

    fn run(&self, id: char, state: &str, ended: Option<&str>) -> PathBuf {
        let id = format!("run_{}", id.to_string().repeat(24));
        let record = json!({"id": id, "sessionId": SESSION, "requestId": "r", "state": state, "tool": "codex",
            "createdAt": OLD, "updatedAt": OLD, "completedAt": ended, "finalizedAt": ended});
        self.write(&format!("chat-runs/{id}/status.json"), &record.to_string());
        self.write(&format!("chat-runs/{id}/artifacts/a.txt"), &"x".repeat(20_000));
        self.write(&format!("chat-runs/{id}/launch.json"), "{}\n");
        self.write(&format!("chat-runs/{id}/spool.jsonl"), "{}\n");
        self.paths.chat_runs().join(id)
    }

    fn prune(&self, kinds: &[Kind], dry_run: bool) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
        let plan = Plan { kinds: kinds.to_vec(), older_than: DAYS_90, dry_run, now: Timestamp::now() };
        let pruned = prune(&self.paths, &plan);
        assert_eq!(pruned.bytes, pruned.removed.iter().map(|removed| removed.bytes).sum::<u64>());
        let removed: Vec<PathBuf> = pruned.removed.into_iter().map(|removed| removed.path).collect();
        assert!(removed.iter().all(|path| path.exists() == dry_run));
        (removed, pruned.skipped.into_iter().map(|skipped| (skipped.path, skipped.reason)).collect())
    }
}

fn session(active: Option<&str>) -> String {
    json!({"id": SESSION, "folder": "~", "tool": "codex", "name": "Sheets", "created": OLD, "updatedAt": OLD,
        "activeRunId": active})
    .to_string()
}

#[test]
fn runtime_weakness_30_only_what_ended_runs_printed_goes() {
    let world = World::new();
    let ended = world.run('a', "completed", Some(OLD));
    let recent = world.run('b', "failed", Some(&Timestamp::now().to_string()));
    let running = world.run('c', "running", None);
    let active = world.run('d', "completed", Some(OLD));
    let locked = world.run('e', "cancelled", Some(OLD));
    let damaged = world.run('f', "completed", Some(OLD));
    let name = active.file_name().unwrap().to_str().unwrap();
    world.write(&format!("chat-history/{SESSION}/session.json"), &session(Some(name)));
    fs::write(damaged.join("status.json"), "{").unwrap();
    let _runner = FileLock::try_acquire(&locked.join("runner.lock")).unwrap();

    let gone = vec![ended.join("artifacts/a.txt"), ended.join("launch.json"), ended.join("spool.jsonl")];
    let (would, _) = world.prune(&[Kind::Runs], true);
    assert_eq!(would, gone);
    let (removed, skipped) = world.prune(&[Kind::Runs], false);
    assert_eq!(removed, gone);
    assert!(ended.join("status.json").exists() && !ended.join("artifacts").exists());
    let reasons: Vec<(&Path, &str)> =
        skipped.iter().map(|(path, reason)| (path.as_path(), reason.split(':').next().unwrap())).collect();
    assert_eq!(
        reasons,
        [
            (running.as_path(), "the run has not ended"),
            (active.as_path(), "its session is still at it"),
            (locked.as_path(), "its runner is still at work"),
            (damaged.as_path(), "its record is damaged"),
        ]
    );
    for folder in [recent, running, active, locked, damaged] {
        assert!(folder.join("spool.jsonl").exists() && folder.join("artifacts/a.txt").exists());
    }
}

#[test]
fn the_logs_of_today_and_those_of_others_stay() {
    let world = World::new();
    let old = world.write("api-logs/2026-01-01.jsonl", "x");
    let today = jiff::Zoned::now().date();
    world.write(&format!("api-logs/{today}.jsonl"), "x");
    world.old("api-logs/notes.jsonl", "x");
    let aside = world.old("logs/owner.log.1", "x");
    world.old("logs/owner.log", "x");
    assert_eq!(world.prune(&[Kind::Logs], false).0, [old, aside]);
}

#[test]
fn media_that_a_message_names_stay() {
    let world = World::new();
    let orphan = world.old("images/1790000000000-00000001.png", "x");
    world.old("images/1790000000000-00000002.png", "x");
    world.old("images/1790000000000-00000003.png", "x");
    world.old("images/1790000000000-00000004.png", "x");
    // Just stored, and its message is on its way.
    world.write("images/1790000000000-00000005.png", "x");
    world.write(
        &format!("chat-history/{SESSION}/events/000000001.json"),
        r#"{"images":[{"filename":"1790000000000-00000002.png"}]}"#,
    );
    world.write("chat-runs/run_x/manifest.json", r#"{"savedPath":"/a/images/1790000000000-00000003.png"}"#);
    world.write("triggers.json", "[\"1790000000000-00000004.png\"]");
    // What was printed is no message.
    world.write("chat-runs/run_x/spool.jsonl", "1790000000000-00000001.png");
    assert_eq!(world.prune(&[Kind::Media], false).0, [orphan]);
}

#[test]
fn copies_of_files_that_are_elsewhere_go() {
    let world = World::new();
    let old = world.old("file-assets-cache/fasset_1.txt", "x");
    world.write("file-assets-cache/fasset_2.txt", "x");
    world.old("file-assets/objects/fasset_1.txt", "x");
    assert_eq!(world.prune(&[Kind::Cache], false).0, [old]);
}

#[test]
fn conversations_that_a_session_goes_on_with_stay() {
    let world = World::new();
    let log = |thread: &str| {
        format!("provider-runtime-homes/codex/sessions/2026/01/01/rollout-2026-01-01T00-00-00-{thread}.jsonl")
    };
    let unused = world.old(&log("0199-c"), "x");
    for thread in ["0199-a", "0199-b"] {
        world.old(&log(thread), "x");
    }
    world.old("provider-runtime-homes/codex/config.toml", "x");
    world.write(&log("0199-d"), "x");
    let record = json!({"id": SESSION, "codexThreadId": "0199-a",
        "resumePoints": {"my-codex": {"id": "0199-b", "throughSeq": 3}}});
    let path = world.write(&format!("chat-history/{SESSION}/session.json"), &record.to_string());
    assert_eq!(world.prune(&[Kind::Conversations], false).0, [unused]);

    // Nobody knows what a damaged record needs.
    let unused = world.old(&log("0199-e"), "x");
    fs::write(path, "{").unwrap();
    let (removed, skipped) = world.prune(&[Kind::Conversations, Kind::Copies], false);
    assert_eq!((removed.len(), skipped.len(), unused.exists()), (0, 2, true));
}

#[test]
fn what_was_copied_half_way_goes() {
    let world = World::new();
    let copy = "92e7fe15061b149cabc6f13f72c25a89";
    let record = json!({"id": copy, "internalRole": "fork_in_progress"});
    let kept = world.write(&format!("chat-history/{copy}/session.json"), &record.to_string());
    let gone = [
        world.old(&format!("chat-history/{copy}/bodies/evt_000000001_content.txt"), "x"),
        world.old(&format!("chat-history/{copy}/events/000000001.json"), "x"),
    ];
    // This one is being copied, perhaps.
    world.write(&format!("chat-history/{copy}/events/000000002.json"), "x");
    world.old(&format!("chat-history/{SESSION}/events/000000001.json"), "x");
    assert_eq!(world.prune(&[Kind::Copies], false).0, gone);
    assert!(kept.exists());
}

#[test]
fn what_a_crash_left_goes_after_a_day() {
    let world = World::new();
    let left = world.old("chat-history/.session.json.tmp-0123456789abcdef", "x");
    world.write("chat-runs/.status.json.tmp-0123456789abcdef", "x");
    world.old(".notes", "x");
    assert_eq!(world.prune(&[Kind::Temporary], false).0, [left]);
}

#[test]
fn the_room_is_told_by_what_is_in_it_and_by_session() {
    let world = World::new();
    world.run('a', "completed", Some(OLD));
    world.write("images/x.png", &"x".repeat(9_000));
    world.write("api-logs/2026-01-01.jsonl", "x");
    world.write("auth.json", "{}");
    let usage = usage(&world.paths, 5);
    let kinds: Vec<&str> = usage.kinds.keys().copied().collect();
    assert_eq!(kinds, ["artifacts", "history", "images", "logs", "other", "runs", "spools"]);
    assert_eq!(usage.total_bytes, usage.kinds.values().sum::<u64>());
    assert!(usage.kinds["artifacts"] >= 20_000 && usage.free_bytes > 0);
    let [room] = usage.sessions.as_slice() else { panic!("{usage:?}") };
    assert_eq!((room.session_id.as_str(), room.name.as_str()), (SESSION, "Sheets"));
    assert_eq!(room.bytes, room.history_bytes + room.runs_bytes);
    assert_eq!(room.history_bytes, usage.kinds["history"]);
}
