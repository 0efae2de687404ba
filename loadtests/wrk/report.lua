-- Print a run's figures as one line of JSON, times in microseconds.
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\n{"requests":%d,"duration":%d,"p50":%.1f,"p99":%.1f,"max":%.1f,"errors":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        latency.max, e.connect + e.read + e.write + e.status + e.timeout
    ))
end
