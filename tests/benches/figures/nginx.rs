//! nginx, as the upstream and as the peer to compare with.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::Context as _;
use remotelab_tests::ports;
use remotelab_tests::process::Process;
use remotelab_tests::wait::eventually;
use remotelab_tests::{http, world::World};

use crate::gateway::Subject;

/// A running nginx of one process: a worker of its own would outlive a killed master.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    process: Process,
}

impl Nginx {
    /// Answers everything with 1 KiB, but for two files of other lengths.
    pub(crate) async fn upstream(world: &World) -> anyhow::Result<Self> {
        let body = "x".repeat(1024);
        let files = world.root().join("www/files");
        fs::create_dir_all(&files).context("create the folder of the files")?;
        for (name, len) in [("64k", 64 << 10), ("100m", 100_000_000)] {
            let file = fs::File::create(files.join(name)).context("create a file")?;
            file.set_len(len).context("lengthen a file")?;
        }
        let www = world.root().join("www");
        let locations = format!(
            "location / {{ return 200 '{body}'; }} location /files/ {{ root {}; sendfile on; }}",
            www.display()
        );
        Self::start(world, "upstream", "", &locations).await
    }

    /// Without anything in between.
    pub(crate) fn direct(self) -> Subject {
        // It has only one route, which strips nothing.
        let url = format!("http://127.0.0.1:{}/", self.port);
        Subject { name: "direct", url, pid: self.process.pid(), _process: Some(self.process) }
    }

    /// As one of those that are compared.
    pub(crate) fn subject(self) -> Subject {
        let url = format!("http://127.0.0.1:{}/trial7/", self.port);
        Subject { name: "nginx", url, pid: self.process.pid(), _process: Some(self.process) }
    }

    /// Strips `/trialN/` and passes on to `upstream`, as the gateway does.
    pub(crate) async fn proxy(world: &World, upstream: u16, routes: u16) -> anyhow::Result<Self> {
        let pool = format!("upstream pool {{ server 127.0.0.1:{upstream}; keepalive 64; }}");
        let mut locations =
            "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_max_temp_file_size 0;\n"
                .to_owned();
        for number in 1..=routes {
            writeln!(locations, "location /trial{number}/ {{ proxy_pass http://pool/; }}")?;
        }
        Self::start(world, &format!("proxy-{routes}"), &pool, &locations).await
    }

    async fn start(world: &World, name: &str, pools: &str, locations: &str) -> anyhow::Result<Self> {
        let port = ports::free()?;
        let folder = world.root().join(name);
        fs::create_dir_all(&folder).context("create nginx's folder")?;
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; {temporary} {pools}\n\
             server {{ listen 127.0.0.1:{port}; {locations} }} }}\n",
            folder = folder.display()
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config).context("write nginx's configuration")?;
        // The proxy has the core that the gateway has; upstream and load share the other.
        let core = if name == "upstream" { "1" } else { "0" };
        let mut command = Command::new("taskset");
        command.args(["-c", core, "/usr/sbin/nginx", "-c"]).arg(file);
        let process = Process::start(name, &mut command)?;
        let url = format!("http://127.0.0.1:{port}/");
        eventually("nginx", async || Ok(http::send(http::client().get(&url)).await.ok())).await?;
        Ok(Self { port, process })
    }
}
