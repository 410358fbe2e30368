mod devlink;
mod kernel;
mod tree;
mod vf_info;
mod vf_reader;
mod vf_values;

use crate::netlink::fake;
