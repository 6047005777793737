//! Which executors exist and where their programs are.

mod builtin;
mod custom;
mod search;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use remotelab_config::{Env, InstancePaths, atomic};
use remotelab_protocol::tool::Tool;

use crate::demo;
use search::SearchPath;

/// How long an answer is good for: a program that was just installed shows up after that.
const FRESH: Duration = Duration::from_secs(2);

/// What a catalogue is made of.
#[derive(Clone, Debug)]
pub struct CatalogueOptions {
    /// The instance's folders; custom tools are in its `tools.json`.
    pub paths: InstancePaths,
    /// The service user's home folder.
    pub home: PathBuf,
    /// The server's environment; its `PATH` is searched first.
    pub env: Env,
    /// The `remotelab` program, which contains the demo executor.
    pub program: PathBuf,
}

/// The executors of one instance. Asking it reads a few small files at most every two seconds, so it may
/// be asked from anywhere.
#[derive(Debug)]
pub struct Catalogue {
    tools_file: PathBuf,
    search: SearchPath,
    demo: Tool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The file as it was read last: only a change is parsed, and complained about, again.
    file: Option<Vec<u8>>,
    custom: Vec<Tool>,
    checked: Option<(Instant, Vec<Tool>)>,
}

impl Catalogue {
    /// Makes a catalogue; nothing is read before it is asked.
    #[must_use]
    pub fn new(options: CatalogueOptions) -> Self {
        let search = SearchPath::new(&options.env, &options.home);
        Self::with_search(&options.paths.tools(), search, &options.program)
    }

    fn with_search(tools_file: &Path, search: SearchPath, program: &Path) -> Self {
        Self { tools_file: tools_file.to_owned(), search, demo: demo::tool(program), state: Mutex::default() }
    }

    /// Lists the tools: built-in ones, then those of `tools.json` in its order. The demo is listed only
    /// while there is no real executor to use.
    #[must_use]
    pub fn list(&self) -> Vec<Tool> {
        let mut tools = self.known();
        if !tools.iter().any(is_real) && !tools.iter().any(|tool| tool.id == self.demo.id) {
            tools.push(self.demo.clone());
        }
        tools
    }

    /// Finds a tool by its id, the demo also when it is not listed.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Tool> {
        let known = self.known().into_iter().find(|tool| tool.id == id);
        known.or_else(|| (id == self.demo.id).then(|| self.demo.clone()))
    }

    /// Finds a tool's program: an absolute or `~/` path as it is, a bare name on the search path.
    #[must_use]
    pub fn resolve(&self, command: &str) -> Option<PathBuf> {
        self.search.find(command)
    }

    /// Returns the folders that are searched, joined as a `PATH`.
    #[must_use]
    pub fn search_path(&self) -> String {
        self.search.joined()
    }

    /// Forgets what was found, for a caller that just changed `tools.json`.
    pub fn refresh(&self) {
        self.state().checked = None;
    }

    fn known(&self) -> Vec<Tool> {
        let mut state = self.state();
        if let Some((at, tools)) = &state.checked
            && at.elapsed() < FRESH
        {
            return tools.clone();
        }
        self.reread(&mut state);
        let mut tools: Vec<Tool> = builtin::tools().chain(state.custom.clone()).collect();
        for tool in &mut tools {
            tool.available = self.search.find(&tool.command).is_some();
        }
        state.checked = Some((Instant::now(), tools.clone()));
        tools
    }

    fn reread(&self, state: &mut State) {
        let file = match atomic::read(&self.tools_file) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, "custom tools stay as they were");
                return;
            }
        };
        if file == state.file {
            return;
        }
        let (tools, problems) = custom::parse(file.as_deref().unwrap_or(b"[]"));
        for problem in problems {
            tracing::warn!(file = %self.tools_file.display(), "custom tool skipped: {problem}");
        }
        state.custom = tools;
        state.file = file;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What a panicking thread left behind is at worst an old answer.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a tool makes the demo superfluous.
fn is_real(tool: &Tool) -> bool {
    tool.available && (!tool.builtin || matches!(tool.id.as_str(), "codex" | "claude"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct World {
        root: tempfile::TempDir,
        catalogue: Catalogue,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let bin = root.path().join("bin");
            fs::create_dir(&bin).unwrap();
            let search = SearchPath::of(vec![bin], root.path());
            let catalogue =
                Catalogue::with_search(&root.path().join("tools.json"), search, Path::new("/opt/remotelab"));
            Self { root, catalogue }
        }

        fn install(&self, name: &str) {
            let path = self.root.path().join("bin").join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            self.catalogue.refresh();
        }

        fn listed(&self) -> Vec<(String, bool)> {
            let tools = self.catalogue.list().into_iter();
            tools.map(|tool| (tool.id, tool.available)).collect()
        }
    }

    fn ids(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
        expected.iter().map(|&(id, available)| (id.to_owned(), available)).collect()
    }

    const NOTHING: [(&str, bool); 5] =
        [("codex", false), ("claude", false), ("copilot", false), ("cline", false), ("kilo-code", false)];

    #[test]
    fn the_demo_stands_in_until_a_real_executor_is_installed() {
        let world = World::new();
        let mut expected = ids(&NOTHING);
        expected.push(("demo".into(), true));
        assert_eq!(world.listed(), expected);

        world.install("codex");
        expected.pop();
        expected[0].1 = true;
        assert_eq!(world.listed(), expected);
        assert_eq!(world.catalogue.find("demo").unwrap().command, "/opt/remotelab");
        assert_eq!(world.catalogue.find("nonsense"), None);
    }

    #[test]
    fn custom_tools_follow_their_file() {
        let world = World::new();
        world.install("mine");
        let write = |text: &str| {
            fs::write(world.root.path().join("tools.json"), text).unwrap();
            world.catalogue.refresh();
        };
        write(r#"[{"id":"mine","command":"mine","runtimeFamily":"codex-json"},{"command":7}]"#);
        let mut expected = ids(&NOTHING);
        expected.push(("mine".into(), true));
        assert_eq!(world.listed(), expected);

        write("{ broken");
        expected.pop();
        expected.push(("demo".into(), true));
        assert_eq!(world.listed(), expected);
    }

    #[test]
    fn only_executable_files_are_programs() {
        let world = World::new();
        fs::write(world.root.path().join("bin/notes"), "text").unwrap();
        fs::create_dir(world.root.path().join("bin/folder")).unwrap();
        world.install("real");
        let real = world.root.path().join("bin/real");
        let find = |command: &str| world.catalogue.resolve(command);
        assert_eq!(find("real"), Some(real.clone()));
        assert_eq!(find(real.to_str().unwrap()), Some(real.clone()));
        assert_eq!(find("~/bin/real"), Some(real));
        for missing in ["notes", "folder", "nothing", "", "bin/real", "../bin/real", "/nowhere/real"] {
            assert_eq!(find(missing), None, "{missing}");
        }
    }
}
