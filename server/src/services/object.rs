//! `ObjectService`: changes of what nobody holds, and what values there are.

use conclave_machine::{Kind, Machine, Version};
use conclave_proto::v1;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::object_service_client::ObjectServiceClient;
use conclave_proto::v1::object_service_server::ObjectService;
use tonic::{Request, Response, Status};

use crate::convert::answer::{CallResult, edited};
use crate::convert::request::{self, unary_call};
use crate::convert::view;
use crate::edge::Edge;
use crate::services::call::decide;
use crate::services::{expect_kind, here};
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Objects {
    edge: Edge,
}

impl Objects {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn edit_here(&self, message: v1::EditRequest) -> Result<v1::EditResponse, Failure> {
        let v1::EditRequest { key, seq, seen_through, edit } = message;
        let call = unary_call(key, seq, seen_through, edit.map(Op::Edit), "edit")?;
        match decide(&self.edge, call).await? {
            (CallResult::Edited(what), at) => {
                Ok(v1::EditResponse { edited: Some(edited(&what)), revision: at.get() })
            }
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn complete_here(
        &self,
        message: v1::CompleteRequest,
    ) -> Result<v1::CompleteResponse, Failure> {
        let v1::CompleteRequest { key, seq, seen_through, complete } = message;
        let call = unary_call(key, seq, seen_through, complete.map(Op::Complete), "complete")?;
        match decide(&self.edge, call).await? {
            (CallResult::Completed { version }, at) => {
                let completed = Some(v1::Completed { version: version.get() });
                Ok(v1::CompleteResponse { completed, revision: at.get() })
            }
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn get_register_here(
        &self,
        message: v1::GetRegisterRequest,
    ) -> Result<v1::GetRegisterResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let query = move |machine: &Machine| {
            expect_kind(machine, &name, Kind::Register)?;
            Ok::<_, Failure>(machine.register_value(&name))
        };
        let answer = self.edge.read(Edge::consistency(message.stale), query).await?;
        Ok(view::register(answer.value?, answer.revision))
    }

    async fn get_counter_here(
        &self,
        message: v1::GetCounterRequest,
    ) -> Result<v1::GetCounterResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let query = move |machine: &Machine| {
            expect_kind(machine, &name, Kind::Counter)?;
            Ok::<_, Failure>(machine.counter_value(&name))
        };
        let answer = self.edge.read(Edge::consistency(message.stale), query).await?;
        let value = answer.value?;
        Ok(v1::GetCounterResponse {
            exists: value.is_some(),
            value: value.unwrap_or(0),
            revision: answer.revision.get(),
        })
    }

    async fn get_once_result_here(
        &self,
        message: v1::GetOnceResultRequest,
    ) -> Result<v1::GetOnceResultResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let wanted = Version(message.version);
        let query = move |machine: &Machine| {
            expect_kind(machine, &name, Kind::Once)?;
            let result = machine.once_value(&name);
            Ok::<_, Failure>(
                result.filter(|result| wanted == Version(0) || wanted == result.version),
            )
        };
        let answer = self.edge.read(Edge::consistency(message.stale), query).await?;
        Ok(view::once_result(answer.value?, answer.revision))
    }
}

#[tonic::async_trait]
impl ObjectService for Objects {
    async fn edit(
        &self,
        request: Request<v1::EditRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.edit_here(message),
                |channel, request| async move {
                    ObjectServiceClient::new(channel).edit(request).await
                },
            )
            .await
    }

    async fn complete(
        &self,
        request: Request<v1::CompleteRequest>,
    ) -> Result<Response<v1::CompleteResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.complete_here(message),
                |channel, request| async move {
                    ObjectServiceClient::new(channel).complete(request).await
                },
            )
            .await
    }

    async fn get_register(
        &self,
        request: Request<v1::GetRegisterRequest>,
    ) -> Result<Response<v1::GetRegisterResponse>, Status> {
        if request.get_ref().stale {
            return here(self.get_register_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.get_register_here(message),
                |channel, request| async move {
                    ObjectServiceClient::new(channel).get_register(request).await
                },
            )
            .await
    }

    async fn get_counter(
        &self,
        request: Request<v1::GetCounterRequest>,
    ) -> Result<Response<v1::GetCounterResponse>, Status> {
        if request.get_ref().stale {
            return here(self.get_counter_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.get_counter_here(message),
                |channel, request| async move {
                    ObjectServiceClient::new(channel).get_counter(request).await
                },
            )
            .await
    }

    async fn get_once_result(
        &self,
        request: Request<v1::GetOnceResultRequest>,
    ) -> Result<Response<v1::GetOnceResultResponse>, Status> {
        if request.get_ref().stale {
            return here(self.get_once_result_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.get_once_result_here(message),
                |channel, request| async move {
                    ObjectServiceClient::new(channel).get_once_result(request).await
                },
            )
            .await
    }
}
