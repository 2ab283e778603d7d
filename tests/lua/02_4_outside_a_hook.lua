-- Without a flow every function of `flow` returns no value, whatever it is given, and changes nothing.
local names = {}
for name in pairs(flow) do names[#names + 1] = name end
assert(#names > 90)
for _, name in ipairs(names) do
  eq(select("#", flow[name]({}, 1, 2)), 0)
end
eq(test.candidate(), nil)

-- After a hook it is as before one.
on("http", function() eq(flow.getServerPort(), 80) end)
eq(flow.getServerPort(), nil)
eq(flow.getInfo(), nil)
