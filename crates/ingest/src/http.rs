//! The HTTP edge: a poem endpoint that reads its own paths.

use domain::ClientAddress;
use poem::http::{Method, Version};
use poem::{Endpoint, Request, Response};

use crate::body::Incoming;
use crate::head::Head;
use crate::ingest::{Ingest, Origin};

impl Endpoint for Ingest {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let connection = request
            .remote_addr()
            .as_socket_addr()
            .map(std::net::SocketAddr::ip);
        let client = request.extensions().get::<ClientAddress>().map(|client| client.0);
        let (parts, body) = request.into_parts();
        let head = Head {
            is_old: parts.version < Version::HTTP_11,
            ..Head::new(client.or(connection), parts.headers)
        };
        let mut incoming = Incoming::new(Box::pin(body.into_bytes_stream()), head.content_length());
        let path = parts.uri.path();
        let registry = self.registry();
        let route = (parts.method == Method::POST)
            .then(|| registry.route(path))
            .flatten();
        let answer = self
            .answer(&registry, &head, route, &mut incoming, Origin::Sender)
            .await;
        let unread = !incoming.has_ended();
        // A sender that waits for a word before it sends needs none to stop; asking for the first piece was the word.
        if unread && (incoming.has_begun() || !head.expects_continue()) {
            self.linger(incoming);
        }
        Ok(answer.into_response(unread))
    }
}
