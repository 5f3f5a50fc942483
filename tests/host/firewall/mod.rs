//! The firewall with the real `nft`, real packets and real processes: each test has network namespaces
//! of its own, joined by a virtual cable, so that nothing of the host is touched and all run side by side.

mod bed;
mod confirm;
mod errors;
mod forward;
mod golden;
mod kept;
mod leases;
mod packets;
mod space;
mod status;
mod table;
mod talker;
mod units;
