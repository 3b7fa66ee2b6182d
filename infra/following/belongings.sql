-- All that hangs on the tables, as statements that make it again, in the order to make it in.
-- Parameters: tables (names), ours (`table what name` of what the club made itself).
WITH t AS (
    SELECT c.* FROM pg_class AS c
    WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%(tables)s) AND relkind = 'r'
), i AS (
    SELECT t.relname AS on_table, x.indexrelid, c.relname, c.reloptions,
           t.relname || ' index ' || c.relname = ANY(%(ours)s) AS ours,
           EXISTS (SELECT FROM pg_constraint WHERE conindid = x.indexrelid AND conrelid = t.oid)
               AS constrains
    FROM t JOIN pg_index AS x ON indrelid = t.oid JOIN pg_class AS c ON c.oid = indexrelid
), k AS (
    SELECT t.relname AS on_table, c.* FROM t JOIN pg_constraint AS c ON conrelid = t.oid
    WHERE contype <> 't'
), a AS (
    SELECT t.relname AS on_table, a.*, y.typstorage FROM t JOIN pg_attribute AS a ON attrelid = t.oid
    JOIN pg_type AS y ON y.oid = atttypid WHERE attnum > 0 AND NOT attisdropped
), found (rank, on_table, what, early, statement) AS (
    SELECT 0, on_table, 'column ' || attname, TRUE, NULL FROM a
    WHERE on_table || ' column ' || attname <> ALL(%(ours)s)
    UNION ALL
    SELECT 0, t.relname, 'rule ' || rulename, TRUE, NULL FROM t JOIN pg_rewrite ON ev_class = t.oid
    UNION ALL
    SELECT 0, t.relname, 'inheriting table ' || inhrelid::regclass, TRUE, NULL
    FROM t JOIN pg_inherits ON inhparent = t.oid
    UNION ALL
    SELECT 0, t.relname, 'setting UNLOGGED', TRUE, NULL FROM t WHERE relpersistence = 'u'
    UNION ALL
    SELECT 0, t.relname, 'security label', TRUE, NULL
    FROM t JOIN pg_seclabel AS l ON l.classoid = 'pg_class'::regclass AND objoid = t.oid
    UNION ALL
    SELECT 1, t.relname, 'tablespace', TRUE,
           format('ALTER TABLE @table@ SET TABLESPACE %%I', spcname)
    FROM t JOIN pg_tablespace AS s ON s.oid = reltablespace
    UNION ALL
    SELECT 1, t.relname, 'storage', TRUE,
           format('ALTER TABLE @table@ SET (%%s)', array_to_string(reloptions, ', '))
    FROM t WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT 1, t.relname, 'toast storage', TRUE, format('ALTER TABLE @table@ SET (%%s)',
        (SELECT string_agg('toast.' || o, ', ') FROM unnest(s.reloptions) AS o))
    FROM t JOIN pg_class AS s ON s.oid = t.reltoastrelid WHERE s.reloptions IS NOT NULL
    UNION ALL
    SELECT 1, on_table, 'statistics target of ' || attname, TRUE,
           format('ALTER TABLE @table@ ALTER COLUMN %%I SET STATISTICS %%s', attname, attstattarget)
    FROM a WHERE attstattarget >= 0
    UNION ALL
    SELECT 1, on_table, 'options of ' || attname, TRUE, format(
        'ALTER TABLE @table@ ALTER COLUMN %%I SET (%%s)', attname, array_to_string(attoptions, ', '))
    FROM a WHERE attoptions IS NOT NULL
    UNION ALL
    SELECT 1, on_table, 'storage of ' || attname, TRUE,
           format('ALTER TABLE @table@ ALTER COLUMN %%I SET STORAGE %%s', attname,
                  CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                  WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
    FROM a WHERE attstorage <> typstorage
    UNION ALL
    SELECT 1, on_table, 'compression of ' || attname, TRUE,
           format('ALTER TABLE @table@ ALTER COLUMN %%I SET COMPRESSION %%s', attname,
                  CASE attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END)
    FROM a WHERE attcompression <> ''
    UNION ALL
    SELECT 2, on_table, 'constraint ' || conname, TRUE,
           CASE WHEN contype <> 'f' THEN format(
               'ALTER TABLE @table@ ADD CONSTRAINT %%I %%s', conname, pg_get_constraintdef(oid)) END
    FROM k WHERE on_table || ' constraint ' || conname <> ALL(%(ours)s)
    UNION ALL
    SELECT 2, on_table, 'index ' || relname, TRUE,
           replace(pg_get_indexdef(indexrelid), format(' ON public.%%I ', on_table), ' ON @table@ ')
    FROM i WHERE NOT ours AND NOT constrains
    UNION ALL
    SELECT 3, on_table, 'storage of index ' || relname, TRUE, format(
        'ALTER INDEX @schema@.%%I SET (%%s)', relname, array_to_string(reloptions, ', '))
    FROM i WHERE (ours OR constrains) AND reloptions IS NOT NULL
    UNION ALL
    SELECT 4, t.relname, 'owner', FALSE,
           format('ALTER TABLE @table@ OWNER TO %%I', pg_get_userbyid(relowner)) FROM t
    WHERE relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
    UNION ALL
    SELECT 5, t.relname, 'grant to ' || to_whom, FALSE, format(
        'GRANT %%s ON @table@ TO %%s%%s', g.privilege_type, to_whom,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM t CROSS JOIN LATERAL aclexplode(relacl) AS g CROSS JOIN LATERAL (SELECT
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS w (to_whom)
    WHERE grantee <> relowner
    UNION ALL
    SELECT 5, on_table, 'grant on ' || attname || ' to ' || to_whom, FALSE, format(
        'GRANT %%s (%%I) ON @table@ TO %%s%%s', g.privilege_type, attname, to_whom,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM a CROSS JOIN LATERAL aclexplode(attacl) AS g CROSS JOIN LATERAL (SELECT
        CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS w (to_whom)
    UNION ALL
    SELECT 6, t.relname, 'statistics ' || stxname, FALSE, pg_get_statisticsobjdef(s.oid)
    FROM t JOIN pg_statistic_ext AS s ON stxrelid = t.oid
    UNION ALL
    SELECT 6, t.relname, 'trigger ' || tgname, FALSE,
           replace(pg_get_triggerdef(g.oid), format(' ON public.%%I ', t.relname), ' ON @table@ ')
    FROM t JOIN pg_trigger AS g ON tgrelid = t.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 7, t.relname, 'state of trigger ' || tgname, FALSE,
           format('ALTER TABLE @table@ %%s TRIGGER %%I', CASE tgenabled WHEN 'D' THEN 'DISABLE'
               WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname)
    FROM t JOIN pg_trigger ON tgrelid = t.oid WHERE NOT tgisinternal AND tgenabled <> 'O'
    UNION ALL
    SELECT 6, t.relname, 'policy ' || polname, FALSE, format(
        'CREATE POLICY %%I ON @table@ AS %%s FOR %%s TO %%s%%s%%s', polname,
        CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                    WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
         FROM unnest(polroles) AS r),
        ' USING (' || pg_get_expr(polqual, polrelid) || ')',
        ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
    FROM t JOIN pg_policy ON polrelid = t.oid
    UNION ALL
    SELECT 7, t.relname, 'row security', FALSE, 'ALTER TABLE @table@ ENABLE ROW LEVEL SECURITY'
    FROM t WHERE relrowsecurity
    UNION ALL
    SELECT 7, t.relname, 'forced row security', FALSE, 'ALTER TABLE @table@ FORCE ROW LEVEL SECURITY'
    FROM t WHERE relforcerowsecurity
    UNION ALL
    SELECT 7, t.relname, 'replica identity', FALSE,
           CASE relreplident WHEN 'f' THEN 'ALTER TABLE @table@ REPLICA IDENTITY FULL'
                             WHEN 'n' THEN 'ALTER TABLE @table@ REPLICA IDENTITY NOTHING'
                             ELSE format('ALTER TABLE @table@ REPLICA IDENTITY USING INDEX %%I',
                                 (SELECT c.relname FROM pg_index AS x JOIN pg_class AS c
                                  ON c.oid = indexrelid WHERE indrelid = t.oid AND indisreplident)) END
    FROM t WHERE relreplident <> 'd'
    UNION ALL
    SELECT 7, t.relname, 'mark to cluster on ' || c.relname, FALSE,
           format('ALTER TABLE @table@ CLUSTER ON %%I', c.relname)
    FROM t JOIN pg_index AS x ON indrelid = t.oid JOIN pg_class AS c ON c.oid = indexrelid
    WHERE indisclustered
    UNION ALL
    SELECT 8, t.relname, 'publication ' || pubname, FALSE, format(
        'ALTER PUBLICATION %%I ADD TABLE @table@%%s%%s', pubname,
        (SELECT ' (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')'
         FROM pg_attribute WHERE attrelid = prrelid AND attnum = ANY(prattrs)),
        ' WHERE (' || pg_get_expr(prqual, prrelid) || ')')
    FROM t JOIN pg_publication_rel ON prrelid = t.oid JOIN pg_publication AS p ON p.oid = prpubid
    UNION ALL
    SELECT 9, t.relname, 'comment', FALSE, format('COMMENT ON TABLE @table@ IS %%L', description)
    FROM t JOIN pg_description ON objoid = t.oid AND classoid = 'pg_class'::regclass AND objsubid = 0
    UNION ALL
    SELECT 9, on_table, 'comment on ' || attname, FALSE,
           format('COMMENT ON COLUMN @table@.%%I IS %%L', attname, description)
    FROM a JOIN pg_description ON objoid = attrelid AND classoid = 'pg_class'::regclass
        AND objsubid = attnum
    UNION ALL
    SELECT 9, on_table, 'comment on index ' || relname, FALSE,
           format('COMMENT ON INDEX @schema@.%%I IS %%L', relname, description)
    FROM i JOIN pg_description ON objoid = indexrelid AND classoid = 'pg_class'::regclass
    UNION ALL
    SELECT 9, on_table, 'comment on constraint ' || conname, FALSE,
           format('COMMENT ON CONSTRAINT %%I ON @table@ IS %%L', conname, description)
    FROM k JOIN pg_description ON objoid = k.oid AND classoid = 'pg_constraint'::regclass
    UNION ALL
    SELECT 9, t.relname, 'comment on trigger ' || tgname, FALSE,
           format('COMMENT ON TRIGGER %%I ON @table@ IS %%L', tgname, description)
    FROM t JOIN pg_trigger AS g ON tgrelid = t.oid
    JOIN pg_description ON objoid = g.oid AND classoid = 'pg_trigger'::regclass
    UNION ALL
    SELECT 9, t.relname, 'comment on policy ' || polname, FALSE,
           format('COMMENT ON POLICY %%I ON @table@ IS %%L', polname, description)
    FROM t JOIN pg_policy AS y ON polrelid = t.oid
    JOIN pg_description ON objoid = y.oid AND classoid = 'pg_policy'::regclass
)
SELECT on_table, what, early, statement FROM found ORDER BY rank, on_table, what, statement
