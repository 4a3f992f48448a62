// Inside of room obs: spans, as a request of OTLP.
#ifndef TENON_OBS_INT_H
#define TENON_OBS_INT_H

#include "obs.h"

// ExportTraceServiceRequest (opentelemetry/proto/collector/trace/v1) of the spans: a ResourceSpans for each service among them.
void obs__encode(const struct obs_span *const *list, uint32_t n, const char *version, struct buf *b);

#endif
