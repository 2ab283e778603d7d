-- Paths, and commands, which no script may run.
local os_utils = {}

function os_utils.fixPath(path)
  return (tostring(path):gsub("/+", "/"))
end

function os_utils.execWithOutput(_)
  return nil
end

return os_utils
