mod devlink;
mod vf_info;
mod vf_reader;
mod vf_values;

use fake_node::{kernel, netlink as fake, tree};
