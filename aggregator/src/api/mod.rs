//! What people and tools connect to: gRPC and HTTP, skins over `query`.

pub mod advice;
pub mod grpc;
pub mod http;
mod incidents;
pub mod remote_read;
pub mod rules;
