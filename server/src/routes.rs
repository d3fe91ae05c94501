//! Which services stand on which listener.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use conclave_proto::DESCRIPTORS;
use conclave_proto::v1::admin_service_server::AdminServiceServer;
use conclave_proto::v1::election_service_server::ElectionServiceServer;
use conclave_proto::v1::lock_service_server::LockServiceServer;
use conclave_proto::v1::membership_service_server::MembershipServiceServer;
use conclave_proto::v1::object_service_server::ObjectServiceServer;
use conclave_proto::v1::session_service_server::SessionServiceServer;
use conclave_proto::v1::watch_service_server::WatchServiceServer;
use tonic::Status;
use tonic::service::Routes;

use crate::edge::Edge;
use crate::health::Health;
use crate::http;
use crate::limits::{ANSWER_BYTES_MAX, CLIENT_MESSAGE_BYTES_MAX};
use crate::listener::ConnectionCount;
use crate::services::{Admin, Elections, Locks, Members, Objects, Sessions, Watches};

/// What the listener for clients serves.
const SERVICES: &[&str] = &[
    "conclave.v1.SessionService",
    "conclave.v1.LockService",
    "conclave.v1.ElectionService",
    "conclave.v1.ObjectService",
    "conclave.v1.WatchService",
    "conclave.v1.AdminService",
    "conclave.v1.MembershipService",
    "grpc.health.v1.Health",
];

/// gRPC, health, reflection and the HTTP side on one listener.
pub(crate) fn for_clients(edge: &Edge, health: &Health, connections: ConnectionCount) -> Routes {
    let watches = WatchServiceServer::new(Watches::new(edge.clone()))
        .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    // Answered by every node from its own state, so nothing of it is forwarded.
    let mut routes = public(edge).add_service(watches).add_service(health.service());
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        // The peers' service has a description too, but no place here.
        SERVICES.iter().fold(builder, |builder, service| builder.with_service_name(*service))
    };
    // An error would be a broken build; every test of reflection would see it.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes = routes.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "no reflection: the descriptors cannot be read");
        }
    }
    let http = http::routes(edge.clone(), connections);
    Routes::from(routes.into_axum_router().merge(http).fallback(not_here))
}

/// The peers' own service, and the public ones for calls that a follower forwards.
pub(crate) fn for_peers(edge: &Edge) -> Routes {
    public(edge).add_service(edge.node().peer_service())
}

fn public(edge: &Edge) -> Routes {
    Routes::new(
        SessionServiceServer::new(Sessions::new(edge.clone()))
            .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX),
    )
    .add_service(
        LockServiceServer::new(Locks::new(edge.clone()))
            .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX),
    )
    .add_service(
        ElectionServiceServer::new(Elections::new(edge.clone()))
            .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX),
    )
    .add_service(
        ObjectServiceServer::new(Objects::new(edge.clone()))
            .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX),
    )
    .add_service(
        AdminServiceServer::new(Admin::new(edge.clone()))
            .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX),
    )
    .add_service(
        MembershipServiceServer::new(Members::new(edge.clone()))
            .max_decoding_message_size(CLIENT_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX),
    )
}

/// What is not there, said in the language of the one who asks.
async fn not_here(request: axum::extract::Request) -> Response {
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        return Status::unimplemented("there is no such service here").into_http();
    }
    (StatusCode::NOT_FOUND, "not found; there are /livez, /readyz and /metrics\n").into_response()
}
