pub(super) const BUILTIN: [(&str, &str); 0] = [];
