//! What people and tools connect to: gRPC and HTTP, skins over `query`.

pub mod grpc;
pub mod http;
mod incidents;
