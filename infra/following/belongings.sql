-- All that hangs on the tables, as statements that make it again, in the order to make it in.
-- Parameters: tables (the names of those in use), new (of those that come), beside (the schema in
-- which these grow), ours (`table what name` of what the club made itself on those in use), mine
-- (the same of the new ones). To be asked with an empty search path, so that all names are whole.
WITH t AS (
    SELECT c.*, format('%%I.%%I', %(beside)s::text, relname) AS beside,
           format('public.%%I', relname) AS public
    FROM pg_class AS c
    WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%(tables)s)
      AND relkind IN ('r', 'p', 'v', 'm', 'f')
), i AS (
    SELECT t.relname AS on_table, t.beside, x.*, c.relname, c.reloptions, c.reltablespace,
           t.relname || ' index ' || c.relname = ANY(%(ours)s) AS ours,
           EXISTS (SELECT FROM pg_constraint WHERE conindid = x.indexrelid AND conrelid = t.oid)
               AS constrains,
           format('ALTER INDEX %%I.%%I ', %(beside)s::text, c.relname) AS alter,
           format('CREATE %%sINDEX %%I ON ', CASE WHEN indisunique THEN 'UNIQUE ' END, c.relname)
               AS make
    FROM t JOIN pg_index AS x ON indrelid = t.oid JOIN pg_class AS c ON c.oid = indexrelid
), k AS (
    SELECT t.relname AS on_table, t.beside, t.public, c.* FROM t JOIN pg_constraint AS c ON conrelid = t.oid
), a AS (
    SELECT t.relname AS on_table, t.beside, t.public, a.*, typstorage,
           format('ALTER TABLE %%s ALTER COLUMN %%I ', t.beside, attname) AS alter
    FROM t JOIN pg_attribute AS a ON attrelid = t.oid
    JOIN pg_type AS y ON y.oid = atttypid WHERE attnum > 0 AND NOT attisdropped
), parts (class, part, on_table) AS (  -- all that goes with the tables
    SELECT 'pg_class'::regclass, oid, relname FROM t
    UNION ALL SELECT 'pg_class'::regclass, indexrelid, on_table FROM i
    UNION ALL SELECT 'pg_type'::regclass, unnest(ARRAY[y.oid, typarray]), relname
              FROM t JOIN pg_type AS y ON y.oid = reltype
    UNION ALL SELECT 'pg_constraint'::regclass, oid, on_table FROM k
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, relname FROM t JOIN pg_attrdef AS d ON adrelid = t.oid
    UNION ALL SELECT 'pg_trigger'::regclass, g.oid, relname FROM t JOIN pg_trigger AS g ON tgrelid = t.oid
    UNION ALL SELECT 'pg_policy'::regclass, y.oid, relname FROM t JOIN pg_policy AS y ON polrelid = t.oid
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, relname FROM t JOIN pg_rewrite AS r ON ev_class = t.oid
    UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, relname
              FROM t JOIN pg_statistic_ext AS s ON stxrelid = t.oid
    UNION ALL SELECT 'pg_publication_rel'::regclass, p.oid, relname
              FROM t JOIN pg_publication_rel AS p ON prrelid = t.oid
), found (rank, moment, on_table, what, needs, statement) AS (
    -- What is refused: it has no statement.
    SELECT 0, 'empty', relname, 'something that is no table,', NULL, NULL FROM t WHERE relkind <> 'r'
    UNION ALL
    SELECT 0, 'empty', on_table, 'column ' || attname, NULL, NULL FROM a
    WHERE on_table || ' column ' || attname <> ALL(%(ours)s)
    UNION ALL
    SELECT 0, 'empty', on_table, 'identity of ' || attname, NULL, NULL FROM a WHERE attidentity <> ''
    UNION ALL
    SELECT 0, 'empty', t.relname, 'rule ' || rulename, NULL, NULL
    FROM t JOIN pg_rewrite ON ev_class = t.oid WHERE relkind = 'r'
    UNION ALL
    SELECT 0, 'empty', t.relname, 'parent ' || inhparent::regclass, NULL, NULL
    FROM t JOIN pg_inherits ON inhrelid = t.oid
    UNION ALL
    SELECT 0, 'empty', relname, 'type ' || reloftype::regtype, NULL, NULL FROM t WHERE reloftype <> 0
    UNION ALL
    SELECT 0, 'empty', t.relname, 'access method ' || amname, NULL, NULL
    FROM t JOIN pg_am AS m ON m.oid = relam WHERE amname <> 'heap'
    UNION ALL
    SELECT 0, 'empty', relname, 'setting UNLOGGED', NULL, NULL FROM t WHERE relpersistence = 'u'
    UNION ALL
    SELECT DISTINCT 0, 'empty', on_table, 'security label', NULL, NULL
    FROM parts JOIN pg_seclabel AS l ON classoid = class AND objoid = part
    UNION ALL
    SELECT 0, 'empty', t.relname, 'owned sequence ' || objid::regclass, NULL, NULL
    FROM t JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = t.oid AND refobjsubid > 0
    JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid AND c.relkind = 'S'
    UNION ALL
    SELECT DISTINCT 0, 'empty', on_table, CASE WHEN rulename = '_RETURN'
        THEN pg_describe_object('pg_class'::regclass, ev_class, 0)
        ELSE pg_describe_object(classid, objid, objsubid) END, NULL, NULL
    FROM parts JOIN pg_depend ON refclassid = class AND refobjid = part AND deptype IN ('n', 'x')
    LEFT JOIN pg_rewrite AS r ON classid = 'pg_rewrite'::regclass AND r.oid = objid
    WHERE (classid, objid) NOT IN (SELECT class, part FROM parts)
    UNION ALL
    -- How rows are stored, before they come.
    SELECT 1, 'empty', t.relname, 'tablespace', NULL,
           format('ALTER TABLE %%s SET TABLESPACE %%I', t.beside, spcname)
    FROM t JOIN pg_tablespace AS s ON s.oid = reltablespace
    UNION ALL
    SELECT 1, 'empty', t.relname, 'storage', NULL,
           format('ALTER TABLE %%s SET (%%s)', t.beside, array_to_string(reloptions, ', '))
    FROM t WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT 1, 'empty', t.relname, 'toast storage', NULL, format('ALTER TABLE %%s SET (%%s)', t.beside,
        (SELECT string_agg('toast.' || o, ', ') FROM unnest(s.reloptions) AS o))
    FROM t JOIN pg_class AS s ON s.oid = t.reltoastrelid WHERE s.reloptions IS NOT NULL
    UNION ALL
    SELECT 1, 'empty', on_table, 'statistics target of ' || attname, 'column ' || attname,
           a.alter || 'SET STATISTICS ' || attstattarget
    FROM a WHERE attstattarget >= 0
    UNION ALL
    SELECT 1, 'empty', on_table, 'options of ' || attname, 'column ' || attname,
           format('%%sSET (%%s)', a.alter, array_to_string(attoptions, ', '))
    FROM a WHERE attoptions IS NOT NULL
    UNION ALL
    SELECT 1, 'empty', on_table, 'storage of ' || attname, 'column ' || attname,
           a.alter || 'SET STORAGE ' || CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                                        WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
    FROM a WHERE attstorage <> typstorage
    UNION ALL
    SELECT 1, 'empty', on_table, 'compression of ' || attname, 'column ' || attname,
           a.alter || 'SET COMPRESSION ' || CASE attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END
    FROM a WHERE attcompression <> ''
    UNION ALL
    SELECT 1, 'empty', on_table, 'default of ' || attname, 'column ' || attname,
           a.alter || 'SET DEFAULT ' || pg_get_expr(adbin, adrelid)
    FROM a JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attgenerated = ''
      AND format('%%s default of %%s %%s', on_table, attname, pg_get_expr(adbin, adrelid)) <> ALL(%(ours)s)
    UNION ALL
    -- What takes a while, beside the tables in use.
    SELECT 2, 'full', on_table, 'NOT NULL of ' || attname, 'column ' || attname, a.alter || 'SET NOT NULL'
    FROM a WHERE attnotnull AND format('%%s NOT NULL of %%s', on_table, attname) <> ALL(%(ours)s)
      AND NOT EXISTS (SELECT FROM k WHERE conrelid = attrelid AND contype = 'n' AND attnum = ANY(conkey))
    UNION ALL
    SELECT 2, 'full', on_table, 'constraint ' || conname, NULL,
           CASE WHEN contype <> 'f' THEN format(
               'ALTER TABLE %%s ADD CONSTRAINT %%I %%s', beside, conname, pg_get_constraintdef(oid)) END
    FROM k WHERE contype <> 't' AND on_table || ' constraint ' || conname <> ALL(%(ours)s)
      AND NOT (on_table || ' constraint ' || conname = ANY(%(mine)s) AND EXISTS (
          SELECT FROM pg_constraint AS n WHERE n.conrelid = to_regclass(k.beside)
          AND n.conname = k.conname AND pg_get_constraintdef(n.oid) = pg_get_constraintdef(k.oid)))
    UNION ALL
    SELECT 2, 'full', on_table, 'index ' || relname, NULL, statement
    FROM i CROSS JOIN LATERAL (SELECT make || beside || substr(
        pg_get_indexdef(indexrelid), length(format('%%spublic.%%I', make, on_table)) + 1)) AS s (statement)
    WHERE NOT ours AND NOT constrains
      AND NOT (on_table || ' index ' || relname = ANY(%(mine)s) AND statement = pg_get_indexdef(
          to_regclass(format('%%I.%%I', %(beside)s::text, relname))))
    UNION ALL
    SELECT 3, 'full', on_table, 'storage of index ' || relname, 'index ' || relname,
           format('%%sSET (%%s)', i.alter, array_to_string(reloptions, ', '))
    FROM i WHERE (ours OR constrains) AND reloptions IS NOT NULL
    UNION ALL
    SELECT 3, 'full', on_table, 'tablespace of index ' || relname, 'index ' || relname,
           format('%%sSET TABLESPACE %%I', i.alter, spcname)
    FROM i JOIN pg_tablespace AS s ON s.oid = reltablespace
    UNION ALL
    SELECT 3, 'full', on_table, format('statistics target of index %%s (%%s)', relname, attnum),
           'index ' || relname, format('%%sALTER COLUMN %%s SET STATISTICS %%s', i.alter, attnum, attstattarget)
    FROM i JOIN pg_attribute ON attrelid = indexrelid WHERE attstattarget >= 0
    UNION ALL
    -- What takes a moment, on the new tables in the place of the old.
    SELECT 4, 'in use', relname, 'owner', NULL,
           format('ALTER TABLE %%s OWNER TO %%I', t.public, pg_get_userbyid(relowner)) FROM t
    WHERE pg_get_userbyid(relowner) <> current_user
    UNION ALL
    SELECT 5, 'in use', relname, 'rights withheld from the owner', NULL, format('REVOKE %%s ON %%s FROM %%I',
        string_agg(privilege_type, ', '), t.public, pg_get_userbyid(relowner))
    FROM t CROSS JOIN LATERAL (
        SELECT privilege_type FROM aclexplode(acldefault('r', relowner)) WHERE grantee = relowner
        EXCEPT SELECT privilege_type FROM aclexplode(relacl) WHERE grantee = relowner) AS g
    WHERE relacl IS NOT NULL GROUP BY relname, t.public, relowner
    UNION ALL
    SELECT CASE WHEN grantor = owner THEN 5 ELSE 6 END, 'in use', on_table,
           'grant ' || coalesce('on ' || attname || ' ', '') || 'to ' || to_whom, 'column ' || attname,
           CASE WHEN grantor = owner THEN grant_it
                ELSE format('SET LOCAL ROLE %%I; %%s; RESET ROLE', pg_get_userbyid(grantor), grant_it) END
    FROM (
        SELECT relname, public, relowner, NULL, g.* FROM t CROSS JOIN LATERAL aclexplode(relacl) AS g
        WHERE grantee <> relowner
        UNION ALL
        SELECT on_table, a.public, relowner, attname, g.*
        FROM a JOIN t ON t.oid = attrelid CROSS JOIN LATERAL aclexplode(attacl) AS g
    ) AS g (on_table, public, owner, attname, grantor, grantee, privilege_type, is_grantable)
    CROSS JOIN LATERAL (SELECT
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS w (to_whom)
    CROSS JOIN LATERAL (SELECT format('GRANT %%s%%s ON %%s TO %%s%%s', privilege_type,
        ' (' || quote_ident(attname) || ')', g.public, to_whom,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)) AS s (grant_it)
    UNION ALL
    SELECT 7, 'in use', t.relname, 'statistics ' || stxname, NULL, pg_get_statisticsobjdef(s.oid)
    FROM t JOIN pg_statistic_ext AS s ON stxrelid = t.oid
    UNION ALL
    SELECT 8, 'in use', t.relname, 'target of statistics ' || stxname, NULL,
           format('ALTER STATISTICS %%s.%%I SET STATISTICS %%s', stxnamespace::regnamespace, stxname, stxstattarget)
    FROM t JOIN pg_statistic_ext AS s ON stxrelid = t.oid WHERE stxstattarget >= 0
    UNION ALL
    SELECT 8, 'in use', t.relname, 'owner of statistics ' || stxname, NULL, format(
        'ALTER STATISTICS %%s.%%I OWNER TO %%I', stxnamespace::regnamespace, stxname, pg_get_userbyid(stxowner))
    FROM t JOIN pg_statistic_ext AS s ON stxrelid = t.oid WHERE pg_get_userbyid(stxowner) <> current_user
    UNION ALL
    SELECT 7, 'in use', t.relname, 'trigger ' || tgname, NULL, pg_get_triggerdef(g.oid)
    FROM t JOIN pg_trigger AS g ON tgrelid = t.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 8, 'in use', t.relname, 'state of trigger ' || tgname, NULL,
           format('ALTER TABLE %%s %%s TRIGGER %%I', t.public, CASE tgenabled WHEN 'D' THEN 'DISABLE'
               WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname)
    FROM t JOIN pg_trigger ON tgrelid = t.oid WHERE NOT tgisinternal AND tgenabled <> 'O'
    UNION ALL
    SELECT 7, 'in use', t.relname, 'policy ' || polname, NULL, format(
        'CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s%%s%%s', polname, t.public,
        CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
         FROM unnest(polroles) AS r),
        ' USING (' || pg_get_expr(polqual, polrelid) || ')',
        ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
    FROM t JOIN pg_policy ON polrelid = t.oid
    UNION ALL
    SELECT 8, 'in use', relname, 'row security', NULL,
           format('ALTER TABLE %%s ENABLE ROW LEVEL SECURITY', t.public) FROM t WHERE relrowsecurity
    UNION ALL
    SELECT 8, 'in use', relname, 'forced row security', NULL,
           format('ALTER TABLE %%s FORCE ROW LEVEL SECURITY', t.public) FROM t WHERE relforcerowsecurity
    UNION ALL
    SELECT 8, 'in use', t.relname, 'replica identity', 'index ' || c.relname,
           format('ALTER TABLE %%s REPLICA IDENTITY ', t.public) || CASE t.relreplident
               WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE 'USING INDEX ' || quote_ident(c.relname) END
    FROM t LEFT JOIN pg_index ON indrelid = t.oid AND indisreplident
    LEFT JOIN pg_class AS c ON c.oid = indexrelid
    WHERE t.relkind = 'r' AND t.relreplident <> 'd'
    UNION ALL
    SELECT 8, 'in use', t.relname, 'mark to cluster on ' || i.relname, 'index ' || i.relname,
           format('ALTER TABLE %%s CLUSTER ON %%I', t.public, i.relname)
    FROM t JOIN i ON indrelid = t.oid WHERE indisclustered
    UNION ALL
    SELECT 9, 'in use', t.relname, 'publication ' || pubname, NULL, format(
        'ALTER PUBLICATION %%I ADD TABLE %%s%%s%%s', pubname, t.public,
        (SELECT ' (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')'
         FROM pg_attribute WHERE attrelid = prrelid AND attnum = ANY(prattrs)),
        ' WHERE (' || pg_get_expr(prqual, prrelid) || ')')
    FROM t JOIN pg_publication_rel ON prrelid = t.oid JOIN pg_publication AS p ON p.oid = prpubid
    UNION ALL
    SELECT 10, 'in use', on_table, 'comment' || coalesce(' on ' || named, ''), needs,
           format('COMMENT ON %%s IS %%L', object, description)
    FROM (
        SELECT relname, NULL, NULL, 'TABLE ' || t.public, 'pg_class'::regclass, oid, 0 FROM t
        UNION ALL
        SELECT on_table, attname, 'column ' || attname, format('COLUMN %%s.%%I', a.public, attname),
               'pg_class', attrelid, attnum FROM a
        UNION ALL
        SELECT on_table, 'index ' || relname, 'index ' || relname, format('INDEX public.%%I', relname),
               'pg_class', indexrelid, 0 FROM i
        UNION ALL
        SELECT on_table, 'constraint ' || conname, 'constraint ' || conname,
               format('CONSTRAINT %%I ON %%s', conname, k.public), 'pg_constraint', oid, 0 FROM k
        UNION ALL
        SELECT relname, 'trigger ' || tgname, NULL, format('TRIGGER %%I ON %%s', tgname, t.public),
               'pg_trigger', g.oid, 0 FROM t JOIN pg_trigger AS g ON tgrelid = t.oid
        UNION ALL
        SELECT relname, 'policy ' || polname, NULL, format('POLICY %%I ON %%s', polname, t.public),
               'pg_policy', y.oid, 0 FROM t JOIN pg_policy AS y ON polrelid = t.oid
        UNION ALL
        SELECT relname, 'statistics ' || stxname, NULL,
               format('STATISTICS %%s.%%I', stxnamespace::regnamespace, stxname),
               'pg_statistic_ext', s.oid, 0 FROM t JOIN pg_statistic_ext AS s ON stxrelid = t.oid
    ) AS c (on_table, named, needs, object, class, described, part)
    JOIN pg_description ON objoid = described AND classoid = class AND objsubid = part
)
-- What hangs on a table, a column, an index or a constraint that the club has no more is refused.
SELECT on_table, what, moment,
       CASE WHEN on_table = ANY(%(new)s) AND (needs IS NULL
            OR on_table || ' ' || needs <> ALL(%(ours)s) OR on_table || ' ' || needs = ANY(%(mine)s))
       THEN statement END
FROM found ORDER BY rank, on_table, what, statement
