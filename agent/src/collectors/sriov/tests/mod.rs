mod collector;
mod devlink;
mod kernel;
mod tree;
mod vf_info;
mod vf_reader;

use crate::netlink::fake;
