//! What the owner's login shell sets, if the owner wants executors to work with it as in a terminal.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use remotelab_config::Env;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::command::is_withheld;

/// Ways to start the shell, the most complete first.
const WAYS: [&[&str]; 4] = [&["-i", "-l", "-c"], &["-i", "-c"], &["-l", "-c"], &["-c"]];
/// How long each may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The most that is read of an answer, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// Asks the login shell once and remembers the answer, in memory alone.
#[derive(Debug)]
pub struct LoginShell {
    shell: PathBuf,
    base: Env,
    answer: OnceLock<Option<Arc<Env>>>,
}

impl LoginShell {
    /// Makes the question for a server with this environment, if its owner wants it asked: of the shell that
    /// `REMOTELAB_USER_SHELL` names, or of the user's own for `login`. Nothing is started before it is asked.
    #[must_use]
    pub fn wanted(env: &Env) -> Option<Self> {
        let own =
            || env.get("SHELL").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(shell_of_user);
        let shell = match env.get("REMOTELAB_USER_SHELL")? {
            "login" => own().unwrap_or_else(|| "/bin/sh".into()),
            path => PathBuf::from(path),
        };
        let base = env.iter().filter(|(key, _)| !is_withheld(key)).collect();
        Some(Self { shell, base, answer: OnceLock::new() })
    }

    /// Returns what the shell sets, without what belongs to the service. `None` when it does not answer.
    ///
    /// Blocks the first time, at worst 20 s; not for an async thread.
    pub fn env(&self) -> Option<Arc<Env>> {
        // An interactive shell in the background of a terminal would be stopped.
        let ways = if has_terminal() { &WAYS[2..] } else { &WAYS[..] };
        self.answer.get_or_init(|| ask(&self.shell, ways, &self.base, LIMIT).map(Arc::new)).clone()
    }
}

/// Reads the shell of this process's user from the system's list.
fn shell_of_user() -> Option<PathBuf> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    shell_of(rustix::process::geteuid().as_raw(), &users)
}

fn shell_of(uid: u32, users: &str) -> Option<PathBuf> {
    let uid = uid.to_string();
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|user| user.get(2).is_some_and(|field| *field == uid))?;
    fields.get(6).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn ask(shell: &Path, ways: &[&[&str]], base: &Env, limit: Duration) -> Option<Env> {
    let answer = ways.iter().find_map(|way| match answer(shell, way, base, limit) {
        Ok(env) => Some(env),
        Err(problem) => {
            tracing::debug!(shell = %shell.display(), ?way, %problem, "the shell did not tell its environment");
            None
        }
    });
    if answer.is_none() {
        tracing::warn!(shell = %shell.display(), "executors get the server's environment alone");
    }
    answer
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the shell could not be started")]
    Start(#[source] io::Error),
    #[error("the shell took too long")]
    TooLong,
    #[error("the shell ended without an answer")]
    Nothing,
}

fn answer(shell: &Path, way: &[&str], base: &Env, limit: Duration) -> Result<Env, Problem> {
    let marker = format!("environment-{:032x}", rand::random::<u128>());
    let mut child = Command::new(shell)
        .args(way)
        .arg(format!("printf %s {marker}; /usr/bin/env -0; printf %s {marker}"))
        .env_clear()
        .envs(base.iter())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Problem::Start)?;
    let stdout = child.stdout.take();
    let (told, heard) = sync_channel(1);
    let end = marker.clone();
    // A program that the shell leaves behind may hold the pipe, so that the reading is not waited for.
    thread::spawn(move || told.send(stdout.map(|stdout| read(stdout, &end)).unwrap_or_default()));
    let answer = heard.recv_timeout(limit);
    end_group(&mut child);
    match answer {
        Ok(bytes) => parse(&bytes, &marker).ok_or(Problem::Nothing),
        Err(RecvTimeoutError::Timeout) => Err(Problem::TooLong),
        Err(RecvTimeoutError::Disconnected) => Err(Problem::Nothing),
    }
}

/// Reads up to the second marker, the end or the limit.
fn read(mut stdout: impl Read, marker: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    while bytes.len() < ANSWER_MAX && between(&bytes, marker).is_none() {
        match stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    bytes
}

fn end_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn parse(bytes: &[u8], marker: &str) -> Option<Env> {
    let env: Env = between(bytes, marker)?
        .split(|&byte| byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .filter(|(key, _)| is_taken_over(key))
        .collect();
    env.get("PATH").is_some().then_some(env)
}

fn between<'a>(bytes: &'a [u8], marker: &str) -> Option<&'a [u8]> {
    let find = |bytes: &[u8]| bytes.windows(marker.len()).position(|window| window == marker.as_bytes());
    let rest = &bytes[find(bytes)? + marker.len()..];
    Some(&rest[..find(rest)?])
}

/// Settings of the service come from the service alone, and what describes the shell is of no use after it.
fn is_taken_over(key: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let of_shell = matches!(key, "_" | "SHLVL" | "PWD" | "OLDPWD");
    !key.is_empty()
        && key.bytes().all(is_name)
        && !of_shell
        && !is_withheld(key)
        && !key.starts_with("REMOTELAB_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use proptest::prelude::*;

    struct World(tempfile::TempDir);

    impl World {
        /// A shell that does `script` before what it is asked.
        fn new(script: &str) -> Self {
            let root = tempfile::tempdir().unwrap();
            let text = format!(
                "#!/bin/sh\necho \"$*\" | head -n 1 >> '{}/calls'\n{script}\n",
                root.path().display()
            );
            fs::write(root.path().join("shell"), text).unwrap();
            fs::set_permissions(root.path().join("shell"), fs::Permissions::from_mode(0o755)).unwrap();
            Self(root)
        }

        fn ask(&self, limit: Duration) -> Option<Env> {
            let base = [("PATH", "/usr/bin:/bin"), ("HOME", "/home/owner")].into_iter().collect();
            ask(&self.0.path().join("shell"), &WAYS, &base, limit)
        }

        /// How the shell was called, without the question.
        fn calls(&self) -> Vec<String> {
            let calls = fs::read_to_string(self.0.path().join("calls")).unwrap();
            calls.lines().map(|line| line.split(" printf").next().unwrap_or_default().to_owned()).collect()
        }
    }

    const ANSWER: &str = "export FROM_RC='two\nlines' REMOTELAB_CONFIG_DIR=/other AGENT_MAILBOX_KEY=x\n\
        echo welcome\nfor last; do :; done\neval \"$last\"";

    #[test]
    fn the_first_way_that_answers_counts() {
        let world = World::new(ANSWER);
        let env = world.ask(LIMIT).unwrap();
        assert_eq!(world.calls(), ["-i -l -c"]);
        assert_eq!(env.get("FROM_RC"), Some("two\nlines"));
        assert_eq!(env.get("HOME"), Some("/home/owner"));
        for key in ["REMOTELAB_CONFIG_DIR", "AGENT_MAILBOX_KEY", "_", "PWD"] {
            assert_eq!(env.get(key), None, "{key}");
        }
    }

    #[test]
    fn other_ways_are_tried_until_none_is_left() {
        let world = World::new(&format!("[ \"$1\" = -l ] || exit 1\n{ANSWER}"));
        assert!(world.ask(LIMIT).is_some());
        assert_eq!(world.calls(), ["-i -l -c", "-i -c", "-l -c"]);

        let world = World::new("echo no idea");
        assert_eq!(world.ask(LIMIT), None);
        assert_eq!(world.calls(), ["-i -l -c", "-i -c", "-l -c", "-c"]);
    }

    #[test]
    fn a_shell_that_hangs_or_leaves_something_behind_holds_nothing_up() {
        let begun = Instant::now();
        let world = World::new("sleep 60");
        assert_eq!(world.ask(Duration::from_millis(50)), None);
        let world = World::new(&format!("sleep 60 &\n{ANSWER}"));
        assert!(world.ask(LIMIT).is_some());
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_real_shell_answers() {
        let base = [("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere")].into_iter().collect();
        let env = ask(Path::new("/bin/sh"), &WAYS, &base, LIMIT).unwrap();
        assert_eq!(env.get("HOME"), Some("/nowhere"));
    }

    #[test]
    fn the_users_shell_is_found() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nsvc:x:7:7::/srv:\nme:x:1000:1000::/home/me:/usr/bin/fish\n";
        assert_eq!(shell_of(1000, users), Some("/usr/bin/fish".into()));
        assert_eq!(shell_of(7, users), None);
        assert_eq!(shell_of(1, users), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let answer = [b"mark".as_slice(), &bytes, b"mark"].concat();
            let _ = parse(&answer, "mark");
            let _ = parse(&bytes, "mark");
        }
    }
}
