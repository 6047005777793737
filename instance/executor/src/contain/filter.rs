//! System calls that are refused, because they lead around the other walls.
//!
//! | Call | Why |
//! |---|---|
//! | `socket` of Unix sockets | Landlock does not guard those with a path: the session bus, the container engine and our own control sockets are ways out. Pairs of sockets are not refused. |
//! | `socket` of MPTCP and SMC | they reach TCP listeners, and Landlock guards TCP alone |
//! | sending with `MSG_FASTOPEN` | connects without being asked |
//! | `io_uring_*` | does all of that without these calls |
//! | `prlimit64` of other processes | a limit of one second of time is a signal |
//! | keys of the kernel | those of a user are shared by all of its processes |

use std::io;

/// Tells whether system calls can be filtered here.
pub(super) fn exists() -> bool {
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))
        && std::path::Path::new("/proc/sys/kernel/seccomp").exists()
}

/// Refuses them to this thread and whatever it starts; Unix sockets too, unless it has a file tree of its own and
/// abstract ones are guarded.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn apply(private_sockets: bool) -> io::Result<()> {
    for (errno, calls) in linux::refusals(private_sockets) {
        linux::refuse(errno, calls).map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) fn apply(_: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    use std::collections::BTreeMap;

    use libc::c_int;
    use seccompiler::{
        BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
        SeccompFilter, SeccompRule,
    };

    /// A call and when it is refused: argument, comparison, value. All of them have to hold.
    type Call = (i64, Vec<(u8, Op, u64)>);

    const AF_SMC: u64 = 43;
    const IPPROTO_MPTCP: u64 = 262;
    const IPPROTO_SMC: u64 = 256;
    /// Set in the number of a call that is made in another way on the same machine.
    #[cfg(target_arch = "x86_64")]
    const X32: i64 = 0x4000_0000;

    pub(super) fn refusals(private_sockets: bool) -> Vec<(c_int, Vec<Call>)> {
        let is = |argument, value: u64| (argument, Op::Eq, value);
        let flag = |argument, value: u64| (argument, Op::MaskedEq(value), value);
        let fast_open = u64::from(libc::MSG_FASTOPEN.unsigned_abs());
        let mut forbidden = vec![
            (libc::SYS_socket, vec![is(0, AF_SMC)]),
            (libc::SYS_socket, vec![is(2, IPPROTO_MPTCP)]),
            (libc::SYS_socket, vec![is(2, IPPROTO_SMC)]),
            (libc::SYS_prlimit64, vec![(0, Op::Ne, 0), (2, Op::Ne, 0)]),
            (libc::SYS_add_key, vec![]),
            (libc::SYS_request_key, vec![]),
            (libc::SYS_keyctl, vec![]),
        ];
        if !private_sockets {
            forbidden.push((libc::SYS_socket, vec![is(0, libc::AF_UNIX.unsigned_abs().into())]));
        }
        vec![
            (libc::EACCES, forbidden),
            (
                libc::ENOSYS,
                vec![
                    (libc::SYS_io_uring_setup, vec![]),
                    (libc::SYS_io_uring_enter, vec![]),
                    (libc::SYS_io_uring_register, vec![]),
                ],
            ),
            (
                libc::EOPNOTSUPP,
                vec![
                    (libc::SYS_sendto, vec![flag(3, fast_open)]),
                    (libc::SYS_sendmsg, vec![flag(2, fast_open)]),
                    (libc::SYS_sendmmsg, vec![flag(3, fast_open)]),
                ],
            ),
        ]
    }

    /// Calls of other architectures end the process.
    pub(super) fn refuse(errno: c_int, calls: Vec<Call>) -> Result<(), Error> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for (number, conditions) in calls {
            // The first two arguments of `prlimit64` are looked at whole: the second is an address.
            let length = if number == libc::SYS_prlimit64 { Len::Qword } else { Len::Dword };
            let conditions = conditions
                .into_iter()
                .map(|(argument, comparison, value)| {
                    SeccompCondition::new(argument, length.clone(), comparison, value)
                })
                .collect::<Result<Vec<_>, _>>()?;
            for number in ways(number) {
                let all = rules.entry(number).or_default();
                if !conditions.is_empty() {
                    all.push(SeccompRule::new(conditions.clone())?);
                }
            }
        }
        let refuse = SeccompAction::Errno(errno.unsigned_abs());
        let architecture = std::env::consts::ARCH.try_into()?;
        let program: BpfProgram =
            SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?.try_into()?;
        seccompiler::apply_filter(&program)
    }

    #[cfg(target_arch = "x86_64")]
    fn ways(number: i64) -> Vec<i64> {
        vec![number, number | X32]
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn ways(number: i64) -> Vec<i64> {
        vec![number]
    }
}
