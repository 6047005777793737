//! Which executors exist and where their programs are.

mod builtin;
mod custom;
mod search;
mod shared;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use remotelab_config::{Env, InstancePaths, atomic};
use remotelab_protocol::tool::Tool;

use crate::demo;
use search::SearchPath;
use shared::{Found, Places};

pub use shared::SharedTool;

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
    shared: Places,
    search: RwLock<SearchPath>,
    demo: Tool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The file as it was read last: only a change is parsed, and complained about, again.
    file: Option<Vec<u8>>,
    custom: Vec<Tool>,
    shared: Found,
    defined: Vec<Tool>,
    defined_at: Option<Instant>,
    /// Commands that were looked for since, and whether their program is there.
    found: HashMap<String, bool>,
}

impl Catalogue {
    /// Makes a catalogue; nothing is read before it is asked.
    #[must_use]
    pub fn new(options: CatalogueOptions) -> Self {
        let search = SearchPath::new(&options.env, &options.home);
        let shared = Places::new(&options.env, &options.paths, &options.home);
        Self::with_search(&options.paths.tools(), shared, search, &options.program)
    }

    fn with_search(tools_file: &Path, shared: Places, search: SearchPath, program: &Path) -> Self {
        Self {
            tools_file: tools_file.to_owned(),
            shared,
            search: RwLock::new(search),
            demo: demo::tool(program),
            state: Mutex::default(),
        }
    }

    /// Lists the tools: built-in ones, those of `tools.json` in its order, then shared ones. The demo is
    /// listed only while there is no real executor to use.
    #[must_use]
    pub fn list(&self) -> Vec<Tool> {
        let mut tools = self.known();
        if !tools.iter().any(is_real) && !tools.iter().any(|tool| tool.id == self.demo.id) {
            tools.push(self.demo.clone());
        }
        tools
    }

    /// Finds a tool by its id, the demo also when it is not listed. Looks for no other tool's program.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Tool> {
        let mut state = self.state();
        self.define(&mut state);
        match state.defined.iter().find(|tool| tool.id == id).cloned() {
            Some(tool) => Some(self.looked_for(&mut state, tool)),
            None => (id == self.demo.id).then(|| self.demo.clone()),
        }
    }

    /// Returns where a shared tool and its card are; `None` for a tool that is not shared.
    #[must_use]
    pub fn shared_tool(&self, id: &str) -> Option<SharedTool> {
        let mut state = self.state();
        self.define(&mut state);
        state.shared.tools.iter().find(|(tool, _)| tool.id == id).map(|(_, place)| place.clone())
    }

    /// Searches the folders of this `PATH` before all others from now on, as of the owner's login shell.
    pub fn prefer_path(&self, path: &str) {
        let mut search = self.search.write().unwrap_or_else(PoisonError::into_inner);
        *search = search.with_first(path);
        drop(search);
        self.refresh();
    }

    /// Finds a tool's program: an absolute or `~/` path as it is, a bare name on the search path.
    #[must_use]
    pub fn resolve(&self, command: &str) -> Option<PathBuf> {
        self.search().find(command)
    }

    /// Returns the folders that are searched, joined as a `PATH`.
    #[must_use]
    pub fn search_path(&self) -> String {
        self.search().joined()
    }

    /// Forgets what was found, for a caller that just changed `tools.json`.
    pub fn refresh(&self) {
        self.state().defined_at = None;
    }

    fn known(&self) -> Vec<Tool> {
        let mut state = self.state();
        self.define(&mut state);
        let tools = state.defined.clone();
        tools.into_iter().map(|tool| self.looked_for(&mut state, tool)).collect()
    }

    /// Reads which tools there are, unless that was done just now.
    fn define(&self, state: &mut State) {
        if state.defined_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        self.reread(state);
        self.reread_shared(state);
        let added = state.custom.iter().chain(state.shared.tools.iter().map(|(tool, _)| tool));
        state.defined = builtin::tools()
            .filter(|tool| !state.custom.iter().any(|custom| custom.id == tool.id))
            .chain(added.cloned())
            .collect();
        state.found.clear();
        state.defined_at = Some(Instant::now());
    }

    /// Tells of a tool whether its program is there.
    fn looked_for(&self, state: &mut State, tool: Tool) -> Tool {
        let available = match state.found.get(&tool.command) {
            Some(found) => *found,
            None => {
                let found = self.search().find(&tool.command).is_some();
                state.found.insert(tool.command.clone(), found);
                found
            }
        };
        Tool { available, ..tool }
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

    fn reread_shared(&self, state: &mut State) {
        let mut found = self.shared.find();
        let mut ids: Vec<String> = builtin::tools().chain(state.custom.clone()).map(|tool| tool.id).collect();
        let Found { tools, problems } = &mut found;
        tools.retain(|(tool, place)| {
            let is_new = !ids.contains(&tool.id);
            if is_new {
                ids.push(tool.id.clone());
            } else {
                problems.push(format!("{}: id {} is taken", place.card.display(), tool.id));
            }
            is_new
        });
        if *problems != state.shared.problems {
            for problem in problems.iter() {
                tracing::warn!("shared tool skipped: {problem}");
            }
        }
        state.shared = found;
    }

    fn search(&self) -> std::sync::RwLockReadGuard<'_, SearchPath> {
        self.search.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What a panicking thread left behind is at worst an old answer.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a tool makes the demo superfluous.
fn is_real(tool: &Tool) -> bool {
    tool.available && (!tool.builtin || builtin::is_agent(tool))
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
            let paths = InstancePaths::new(root.path().to_owned(), root.path().join("memory"));
            let shared = Places::new(&Env::default(), &paths, root.path());
            let catalogue =
                Catalogue::with_search(&paths.tools(), shared, search, Path::new("/opt/remotelab"));
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

    const NOTHING: [(&str, bool); 7] = [
        ("codex", false),
        ("claude", false),
        ("copilot", false),
        ("cline", false),
        ("kilo-code", false),
        ("opencode", false),
        ("gemini", false),
    ];

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
    fn a_custom_tool_of_a_later_built_in_id_stays() {
        let world = World::new();
        fs::write(world.root.path().join("tools.json"), r#"[{"command":"gemini"},{"command":"codex"}]"#)
            .unwrap();
        let mine = world.catalogue.find("gemini").unwrap();
        assert_eq!((mine.name.as_str(), mine.builtin), ("gemini", false));
        assert!(world.catalogue.find("codex").unwrap().builtin);
        assert_eq!(world.listed().iter().filter(|(id, _)| id == "gemini").count(), 1);
    }

    #[test]
    fn shared_tools_come_last_and_take_no_id() {
        let world = World::new();
        world.install("mine");
        let share = |name: &str| {
            let folder = world.root.path().join(".remotelab/shared-tools").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("TOOL.md"), "---\ncommand: mine\n---\n").unwrap();
            folder
        };
        let folder = share("helper");
        share("codex");
        share("taken");
        fs::write(world.root.path().join("tools.json"), r#"[{"id":"taken","command":"x"}]"#).unwrap();
        let mut expected = ids(&NOTHING);
        expected.extend([("taken".into(), false), ("helper".into(), true)]);
        assert_eq!(world.listed(), expected);
        let card = folder.join("TOOL.md");
        assert_eq!(world.catalogue.shared_tool("helper"), Some(SharedTool { folder, card, overlay: None }));
        assert_eq!(world.catalogue.shared_tool("codex"), None);
    }

    #[test]
    fn the_login_shells_folders_come_first() {
        let world = World::new();
        world.install("agent");
        let own = world.root.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::copy(world.root.path().join("bin/agent"), own.join("agent")).unwrap();
        let before = world.catalogue.search_path();
        world.catalogue.prefer_path(&format!("relative:{}", own.display()));
        assert_eq!(world.catalogue.resolve("agent"), Some(own.join("agent")));
        assert_eq!(world.catalogue.search_path(), format!("{}:{before}", own.display()));
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
