//! The system calls that decoding, scaling and encoding take, and no others.
//!
//! Found by tracing ladders of every coding under glibc; calls that musl or newer glibc make in their place stand
//! beside them. Memory can be mapped, never from a file, never to be executed. Threads can be started, processes not.
//! Descriptors that happen to be inherited are of no use: only the worker's own socket is read.

use std::{collections::BTreeMap, os::fd::RawFd};

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Allowed whatever their arguments are.
const ALLOWED: &[c_long] = &[
    // memory, beside what is looked at below
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // threads
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_get_priority_max,
    libc::SYS_getcpu,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // signals to oneself, as for a crash
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // time
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    // what the machine and the process have
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // descriptors that are open
    libc::SYS_close,
    // answered with ENOSYS, so that the C library takes clone: its flags lie in memory, where no filter can look
    libc::SYS_clone3,
];

/// Installs it for every thread. Returns how many calls it lets through.
///
/// # Errors
/// In words, when the kernel does not take it.
pub(super) fn apply(sockets: &[RawFd]) -> Result<usize, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| words(&error))?;
    let rules = rules(sockets, std::process::id()).map_err(|error| words(&error))?;
    let calls = rules.len();
    let eperm = SeccompAction::Errno(libc::EPERM as u32);
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let enosys = SeccompAction::Errno(libc::ENOSYS as u32);
    // Of two refusals the later one's errno counts: the list comes last and itself lets clone3 through.
    for (rules, mismatch, matching) in
        [(no_clone3, SeccompAction::Allow, enosys), (rules, eperm, SeccompAction::Allow)]
    {
        let program: BpfProgram = SeccompFilter::new(rules, mismatch, matching, arch)
            .and_then(BpfProgram::try_from)
            .map_err(|error| words(&error))?;
        apply_filter_all_threads(&program).map_err(|error| words(&error))?;
    }
    Ok(calls)
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn rules(sockets: &[RawFd], own_pid: u32) -> Result<Rules, BackendError> {
    // An empty list of rules allows the call as such.
    let mut rules: Rules = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let equals = |argument, value: u64| SeccompCondition::new(argument, Dword, SeccompCmpOp::Eq, value);
    let is_null = |argument| SeccompCondition::new(argument, Qword, SeccompCmpOp::Eq, 0);
    let without =
        |argument, bits: i32| SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(bits as u64), 0);
    let with = |argument, bits: i32| {
        SeccompCondition::new(argument, Dword, SeccompCmpOp::MaskedEq(bits as u64), bits as u64)
    };
    let mut allow = |call: c_long, conditions: Vec<SeccompCondition>| {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok::<(), BackendError>(())
    };
    for socket in sockets {
        let socket = *socket as u64;
        for call in [libc::SYS_read, libc::SYS_readv, libc::SYS_write, libc::SYS_writev] {
            allow(call, vec![equals(0, socket)?])?;
        }
        // The fifth argument is an address to be told or to send to.
        for call in [libc::SYS_recvfrom, libc::SYS_sendto] {
            allow(call, vec![equals(0, socket)?, is_null(4)?])?;
        }
    }
    for call in [libc::SYS_write, libc::SYS_writev] {
        allow(call, vec![equals(0, libc::STDERR_FILENO as u64)?])?;
    }
    // Rust's debug builds look whether what they close is open.
    allow(libc::SYS_fcntl, vec![equals(1, libc::F_GETFD as u64)?])?;
    allow(libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)?, with(3, libc::MAP_ANONYMOUS)?])?;
    allow(libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)?])?;
    let thread = libc::CLONE_THREAD | libc::CLONE_VM | libc::CLONE_SIGHAND;
    allow(libc::SYS_clone, vec![with(0, thread)?])?;
    // abort and assert signal themselves
    allow(libc::SYS_tgkill, vec![equals(0, u64::from(own_pid))?])?;
    allow(libc::SYS_prctl, vec![equals(0, libc::PR_SET_NAME as u64)?])?;
    // Limits are asked for a thread's stack, and stay as they are.
    allow(libc::SYS_prlimit64, vec![equals(0, 0)?, is_null(2)?])?;
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_of_the_process_is_not_on_the_list() {
        let rules = rules(&[3], 1).unwrap();
        for (name, call) in [
            ("openat", libc::SYS_openat),
            ("socket", libc::SYS_socket),
            ("connect", libc::SYS_connect),
            ("bind", libc::SYS_bind),
            ("sendmsg, which passes descriptors", libc::SYS_sendmsg),
            ("execve", libc::SYS_execve),
            ("execveat", libc::SYS_execveat),
            ("kill", libc::SYS_kill),
            ("tkill", libc::SYS_tkill),
            ("ptrace", libc::SYS_ptrace),
            ("process_vm_readv", libc::SYS_process_vm_readv),
            ("pidfd_open", libc::SYS_pidfd_open),
            ("setns", libc::SYS_setns),
            ("unshare", libc::SYS_unshare),
            ("mount", libc::SYS_mount),
            ("bpf", libc::SYS_bpf),
            ("perf_event_open", libc::SYS_perf_event_open),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("userfaultfd", libc::SYS_userfaultfd),
            ("keyctl", libc::SYS_keyctl),
            ("memfd_create", libc::SYS_memfd_create),
            ("ioctl", libc::SYS_ioctl),
            ("dup", libc::SYS_dup),
            ("seccomp", libc::SYS_seccomp),
        ] {
            assert!(!rules.contains_key(&call), "{name}");
        }
        // Those with conditions are not on the list that has none.
        for call in [libc::SYS_clone, libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_prctl, libc::SYS_tgkill] {
            assert!(!ALLOWED.contains(&call) && !rules[&call].is_empty(), "{call}");
        }
    }

    #[test]
    fn it_compiles_for_both_machines() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            let filter = SeccompFilter::new(
                rules(&[0, 3, 4], 7).unwrap(),
                SeccompAction::Errno(1),
                SeccompAction::Allow,
                arch,
            );
            let program: BpfProgram = filter.unwrap().try_into().unwrap();
            assert!(program.len() < 1024, "{}", program.len());
        }
    }
}
