-- A missing key is "", never nil; values are text.
eq(ntop.getCache("k"), "")
ntop.setCache("k", 1)
eq(ntop.getCache("k"), "1")
eq(ntop.getPref("k"), "1") -- one store
ntop.delCache("k")
eq(ntop.getCache("k"), "")
ntop.setPref("p", "x")
eq(ntop.getPref("p"), "x")
ntop.delPref("p")
eq(ntop.existsCache("p"), false)

ntop.setCache("short", "v", 60)
test.later(59)
eq(ntop.getCache("short"), "v")
test.later(1)
eq(ntop.getCache("short"), "")

eq(ntop.setnxCache("once", "1"), true)
eq(ntop.setnxCache("once", "2"), false)
eq(ntop.getCache("once"), "1")
eq(ntop.incrCache("n"), 1)
eq(ntop.incrCache("n", 5), 6)
eq(ntop.getCache("n"), "6")

-- Bounded: what does not fit is refused and counted.
for i = 1, 1000 do ntop.setCache("big" .. i, ("x"):rep(1000)) end
local stats = ntop.getCacheStats()
assert(stats.bytes <= stats.limit_bytes and stats.refused > 0)
eq(ntop.getCache("big1"), ("x"):rep(1000))
eq(ntop.getCache("big1000"), "")
eq(ntop.getCacheStatus().keys, stats.keys)
