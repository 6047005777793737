//! Other people's programs that are called for a moment: found on the operator's path, waited for so long, and
//! heard so much of.

use std::env::split_paths;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use remotelab_config::Env;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// As much as is heard of one, in bytes.
const MAX_OUTPUT: u64 = 1 << 20;

/// A program on the operator's path.
#[derive(Clone)]
pub struct Tool {
    program: PathBuf,
    env: Env,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment holds secrets.
        f.debug_struct("Tool").field("program", &self.program).finish_non_exhaustive()
    }
}

/// What a program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether it ended well.
    pub is_well: bool,
    /// On standard output.
    pub stdout: String,
    /// On standard error.
    pub stderr: String,
}

impl Tool {
    /// Finds a program by its name; `None` where it is not installed.
    #[must_use]
    pub fn find(name: &str, env: &Env) -> Option<Self> {
        let program =
            split_paths(env.get("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())?;
        Some(Self { program, env: env.clone() })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs it to its end, with the operator's environment.
    ///
    /// # Errors
    /// When it cannot be started, or takes too long.
    pub fn run(&self, arguments: &[&str]) -> io::Result<Said> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(self.env.iter())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = listen(child.stdout.take());
        let stderr = listen(child.stderr.take());
        let is_well = wait(&mut child)?;
        let heard = |listener: thread::JoinHandle<String>| listener.join().unwrap_or_default();
        Ok(Said { is_well, stdout: heard(stdout), stderr: heard(stderr) })
    }

    /// Runs it and wants it to end well.
    ///
    /// # Errors
    /// As [`Tool::run`], and with its last words when it did not.
    pub fn done(&self, arguments: &[&str]) -> io::Result<String> {
        let said = self.run(arguments)?;
        if said.is_well {
            return Ok(said.stdout);
        }
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words =
            said.stderr.trim().lines().next_back().unwrap_or("it failed and does not say why").to_owned();
        Err(io::Error::other(format!("{name}: {words}")))
    }
}

fn listen(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has nothing more to say.
            let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(PAUSE);
    }
}
