//! Network namespaces: each has its own ports, so a holder in another one does not block a port here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::owners;

/// The network namespaces other than that of this process, by the number the kernel gives them,
/// with the processes that are in each. Those that this user may not look into are left out.
pub(super) fn others(proc: &Path) -> BTreeMap<u64, Vec<u32>> {
    let own = of_process(&proc.join("self"));
    let mut found: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for pid in owners::processes(proc) {
        let namespace = of_process(&proc.join(pid.to_string()));
        if let Some(number) = namespace.filter(|_| namespace != own) {
            found.entry(number).or_default().push(pid);
        }
    }
    found
}

/// `net:[4026531840]`
fn of_process(process: &Path) -> Option<u64> {
    let link = fs::read_link(process.join("ns/net")).ok()?;
    let number = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    number.parse().ok()
}
