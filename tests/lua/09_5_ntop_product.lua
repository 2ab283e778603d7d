eq(ntop.isnEdge(), true)
for _, name in ipairs({ "isPro", "isEnterprise", "isEnterpriseM", "isEnterpriseL", "isWindows", "isShutdown" }) do
  eq(ntop[name](), false)
end
eq({ ntop.isPro(), ntop.isEnterprise(), ntop.isEnterpriseM(), ntop.isEnterpriseL() }, { false, false, false, false })
eq({ ntop.isWindows(), ntop.isShutdown(), ntop.isAdministrator() }, { false, false, false })
local dirs = ntop.getDirs()
eq(dirs.installdir, "/usr/share/flowreeve")
eq(dirs.scriptdir, "/usr/share/flowreeve/scripts")
for _, name in ipairs({ "workingdir", "httpdocsdir", "callbacksdir", "pcapdir" }) do
  eq(type(dirs[name]), "string")
  assert(dirs[name]:sub(-1) ~= "/")
end
eq(package.path ~= nil and type(dirs.installdir .. "/scripts/lua/modules/?.lua"), "string")
local info = ntop.getInfo()
eq(type(info.product), "string")
eq(type(info.version), "string")
eq(math.type(info.pid), "integer")
eq(ntop.getHttpPrefix(), "")
eq(ntop.getDeadline(), 0)
