//! Where it happened: the host, the resource, the cloud.

use serde_json::{Value, json};

use crate::{
    finding::{bounds, clip, time::milliseconds},
    model::{BootTime, Cloud, Context, Host},
};

/// The resource, if it is Google's.
pub(super) fn google(context: &Context) -> Option<&Cloud> {
    context.cloud.as_ref().filter(|cloud| cloud.is_google())
}

/// The cloud, if it is Google's.
pub(super) fn cloud(context: &Context) -> Option<Value> {
    google(context).map(|cloud| {
        json!({
            "provider": "GCP",
            "account": cloud.project.as_deref().map(|project| json!({ "uid": clip::name(project) })),
            "region": cloud.region.as_deref().map(clip::name),
            "zone": cloud.zone.as_deref().map(clip::name),
        })
    })
}

pub(super) fn device(host: &Host, context: &Context) -> Value {
    let cloud = google(context);
    json!({
        // Whether it is a server can't be told.
        "type_id": 0,
        "type": "Unknown",
        "hostname": host.hostname,
        "name": host.hostname,
        "uid": host.machine_id,
        "boot_uid": host.boot_id,
        "boot_time": milliseconds(BootTime(0), host),
        "instance_uid": cloud.and_then(|cloud| cloud.instance_id.as_deref()).map(clip::name),
        "region": cloud.and_then(|cloud| cloud.region.as_deref()).map(clip::name),
        "zone": cloud.and_then(|cloud| cloud.zone.as_deref()).map(clip::name),
        "ip": context.addresses.first().map(ToString::to_string),
        "os": { "name": "Linux", "type_id": 200, "type": "Linux", "kernel_release": host.kernel },
    })
}

pub(super) fn resource(host: &Host, context: &Context) -> Value {
    match &context.cloud {
        Some(cloud) => json!({
            "uid": clip::string(&cloud.name, bounds::RESOURCE_NAME),
            "name": clip::name(&cloud.display_name),
            "type": clip::name(&cloud.kind),
            "region": cloud.region.as_deref().map(clip::name),
            "zone": cloud.zone.as_deref().map(clip::name),
        }),
        None => json!({ "uid": host.machine_id, "name": host.hostname, "type": "host" }),
    }
}
