-- For compare.py: waits a random time before each request, and prints what was measured as one line of JSON.
local delay_ms = tonumber(os.getenv("DELAY_MS") or "0")

function init(args)
  math.randomseed(os.time())
end

if delay_ms > 0 then
  function delay()
    return math.random(0, 2 * delay_ms)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "seconds": %.6f, "errors": %d, "timeouts": %d, "p50": %.0f, "p99": %.0f, "p999": %.0f, "max": %.0f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
