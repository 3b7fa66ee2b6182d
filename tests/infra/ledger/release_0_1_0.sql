-- A club of release 0.1.0 in which nothing has happened, as pg_dump writes it down.

CREATE TYPE public.access_level AS ENUM (
    'STANDARD',
    'PREMIUM',
    'VIP',
    'LIMIT',
    'FAMILY',
    'TRIAL',
    'DAY_PASS',
    'WEEK_PASS',
    'GUEST',
    'CORPORATE',
    'DISCOUNT',
    'OTHER'
);

CREATE TYPE public.client_status AS ENUM (
    'ACTIVE',
    'INACTIVE',
    'ON_HOLD',
    'CANCELLED',
    'EXPIRED',
    'UPCOMING'
);

CREATE TYPE public.complexity_lvl AS ENUM (
    'BEGINNER',
    'NOVICE',
    'INTERMEDIATE',
    'ADVANCED',
    'EXPERT',
    'MASTER'
);

CREATE TYPE public.gender AS ENUM (
    'MALE',
    'FEMALE',
    'OTHER'
);

CREATE TYPE public.intensity AS ENUM (
    'VERY_LOW',
    'LOW',
    'MEDIUM',
    'HIGH',
    'VERY_HIGH',
    'EXTREME'
);

CREATE TYPE public.muscle_group AS ENUM (
    'CHEST',
    'BACK',
    'LEGS',
    'ARMS',
    'CORE',
    'SHOULDERS',
    'BUTTOCKS',
    'CALVES',
    'NECK',
    'HIPS',
    'FULL_BODY',
    'OTHER'
);

CREATE TYPE public.payment_status AS ENUM (
    'PENDING',
    'PAID',
    'FAILED',
    'CANCELLED',
    'EXPIRED',
    'REFUNDED'
);

CREATE TYPE public.plan_status AS ENUM (
    'ACTIVE',
    'PREPARED',
    'COMPLETED',
    'DELAYED'
);

CREATE TYPE public.training_type AS ENUM (
    'CARDIO',
    'STRENGTH',
    'FLEXIBILITY',
    'BALANCE',
    'HIIT',
    'YOGA',
    'PILATES',
    'ENDURANCE',
    'CROSSFIT',
    'FUNCTIONAL',
    'REHABILITATION',
    'DANCE',
    'SWIMMING',
    'OTHER'
);

CREATE TYPE public.user_role AS ENUM (
    'USER',
    'ADMIN',
    'TRAINER',
    'STAFFER',
    'SYSTEM',
    'ANALYST',
    'OTHER'
);

CREATE FUNCTION public.ledger_is_immutable() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is never changed: % refused', TG_OP;
END $$;

CREATE TABLE public.aggregate_versions (
    aggregate_id text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL
);

CREATE TABLE public.client_admissions (
    client_id integer NOT NULL,
    until timestamp with time zone NOT NULL
);

CREATE SEQUENCE public.clients_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.clients (
    id integer DEFAULT nextval('public.clients_id_seq'::regclass) NOT NULL,
    user_id integer NOT NULL,
    membership_id integer NOT NULL,
    first_name character varying(50) NOT NULL,
    last_name character varying(80) NOT NULL,
    phone_number character varying(20) NOT NULL,
    gender public.gender,
    date_of_birth date NOT NULL,
    weight_kg numeric(5,2),
    height_sm numeric(5,2),
    status public.client_status DEFAULT 'ACTIVE'::public.client_status
);

CREATE TABLE public.clients_training_plan (
    client_id integer NOT NULL,
    training_plan_id integer NOT NULL,
    pinned_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE public.exercises_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.exercises (
    id integer DEFAULT nextval('public.exercises_id_seq'::regclass) NOT NULL,
    title character varying(50) NOT NULL,
    description text,
    muscle_group public.muscle_group,
    equipment_required boolean DEFAULT false,
    complexity_lvl public.complexity_lvl DEFAULT 'BEGINNER'::public.complexity_lvl
);

CREATE TABLE public.ledger_events (
    originator_id text NOT NULL COLLATE pg_catalog."C",
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    command text NOT NULL,
    command_id text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text NOT NULL
);

CREATE TABLE public.ledger_identity (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    only_one boolean DEFAULT true NOT NULL,
    CONSTRAINT ledger_identity_only_one_check CHECK (only_one)
);

CREATE TABLE public.ledger_receipts (
    source text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    outcome json NOT NULL,
    recorded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE SEQUENCE public.memberships_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.memberships (
    id integer DEFAULT nextval('public.memberships_id_seq'::regclass) NOT NULL,
    access_level public.access_level,
    description text,
    price numeric NOT NULL
);

CREATE SEQUENCE public.payments_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.payments (
    id integer DEFAULT nextval('public.payments_id_seq'::regclass) NOT NULL,
    client_id integer NOT NULL,
    membership_id integer NOT NULL,
    payment_status public.payment_status,
    "timestamp" timestamp with time zone
);

CREATE TABLE public.projection_positions (
    name text NOT NULL,
    "position" bigint NOT NULL,
    definition text NOT NULL,
    tables text[] NOT NULL
);

CREATE TABLE public.relay_positions (
    name text NOT NULL,
    "position" bigint NOT NULL
);

CREATE SEQUENCE public.sessions_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.sessions (
    id integer DEFAULT nextval('public.sessions_id_seq'::regclass) NOT NULL,
    user_id integer NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    last_used_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    ended_because text,
    origin text NOT NULL,
    agent text NOT NULL
);

CREATE SEQUENCE public.sign_ins_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE SEQUENCE public.simple_report_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.simple_report (
    id integer DEFAULT nextval('public.simple_report_id_seq'::regclass) NOT NULL,
    report_date_start date NOT NULL,
    report_date_end date NOT NULL,
    new_users jsonb NOT NULL
);

CREATE TABLE public.training_plan_trainings (
    training_id integer NOT NULL,
    training_plan_id integer NOT NULL
);

CREATE SEQUENCE public.training_plans_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.training_plans (
    id integer DEFAULT nextval('public.training_plans_id_seq'::regclass) NOT NULL,
    user_id integer NOT NULL,
    title character varying(200) NOT NULL,
    description text,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    status public.plan_status DEFAULT 'ACTIVE'::public.plan_status
);

CREATE SEQUENCE public.trainings_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.trainings (
    id integer DEFAULT nextval('public.trainings_id_seq'::regclass) NOT NULL,
    client_id integer NOT NULL,
    training_type public.training_type,
    title character varying(200) NOT NULL,
    intensity public.intensity,
    duration_min integer DEFAULT 45,
    date date,
    description text
);

CREATE TABLE public.trainings_exercises (
    training_id integer NOT NULL,
    exercise_id integer NOT NULL,
    order_in_training integer NOT NULL,
    sets integer DEFAULT 3,
    reps integer DEFAULT 10,
    rest_time_sec integer DEFAULT 60,
    extra_weight numeric(5,2) DEFAULT NULL::numeric
);

CREATE SEQUENCE public.users_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.users (
    id integer DEFAULT nextval('public.users_id_seq'::regclass) NOT NULL,
    username character varying(50) NOT NULL,
    password_hash character varying(255) NOT NULL,
    email character varying(100) NOT NULL,
    role public.user_role DEFAULT 'USER'::public.user_role,
    created_at timestamp with time zone DEFAULT now(),
    last_login timestamp with time zone,
    deleted_at timestamp with time zone
);

INSERT INTO public.ledger_identity VALUES ('7318c168-5cf8-4821-82fb-27a2090ceb70', true);

INSERT INTO public.projection_positions VALUES ('read tables', 0, '59faa09579695aff70d57c3035998bd8d1ab85f3180264d51fe6f5eeeca637a2', '{users,memberships,clients,client_admissions,exercises,trainings,trainings_exercises,training_plans,training_plan_trainings,clients_training_plan,payments,simple_report,sessions,aggregate_versions}');

SELECT pg_catalog.setval('public.clients_id_seq', 1, false);

SELECT pg_catalog.setval('public.exercises_id_seq', 1, false);

SELECT pg_catalog.setval('public.memberships_id_seq', 1, false);

SELECT pg_catalog.setval('public.payments_id_seq', 1, false);

SELECT pg_catalog.setval('public.sessions_id_seq', 1, false);

SELECT pg_catalog.setval('public.sign_ins_id_seq', 1, false);

SELECT pg_catalog.setval('public.simple_report_id_seq', 1, false);

SELECT pg_catalog.setval('public.training_plans_id_seq', 1, false);

SELECT pg_catalog.setval('public.trainings_id_seq', 1, false);

SELECT pg_catalog.setval('public.users_id_seq', 1, false);

ALTER TABLE ONLY public.aggregate_versions
    ADD CONSTRAINT aggregate_versions_pkey PRIMARY KEY (aggregate_id);

ALTER TABLE ONLY public.client_admissions
    ADD CONSTRAINT client_admissions_pkey PRIMARY KEY (client_id);

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_membership_id_key UNIQUE (membership_id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.clients_training_plan
    ADD CONSTRAINT clients_training_plan_pkey PRIMARY KEY (client_id, training_plan_id);

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_user_id_key UNIQUE (user_id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.exercises
    ADD CONSTRAINT exercises_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.exercises
    ADD CONSTRAINT exercises_title_key UNIQUE (title) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.ledger_events
    ADD CONSTRAINT ledger_events_pkey PRIMARY KEY (originator_id, originator_version);

ALTER TABLE ONLY public.ledger_identity
    ADD CONSTRAINT ledger_identity_pkey PRIMARY KEY (only_one);

ALTER TABLE ONLY public.ledger_receipts
    ADD CONSTRAINT ledger_receipts_pkey PRIMARY KEY (source, key);

ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.projection_positions
    ADD CONSTRAINT projection_positions_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.relay_positions
    ADD CONSTRAINT relay_positions_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.simple_report
    ADD CONSTRAINT simple_report_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.training_plan_trainings
    ADD CONSTRAINT training_plan_trainings_pkey PRIMARY KEY (training_id, training_plan_id);

ALTER TABLE ONLY public.training_plans
    ADD CONSTRAINT training_plans_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.trainings_exercises
    ADD CONSTRAINT trainings_exercises_pkey PRIMARY KEY (training_id, exercise_id);

ALTER TABLE ONLY public.trainings
    ADD CONSTRAINT trainings_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_email_key UNIQUE (email) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_username_key UNIQUE (username) DEFERRABLE INITIALLY DEFERRED;

CREATE INDEX client_admissions_until_idx ON public.client_admissions USING btree (until);

CREATE INDEX clients_training_plan_training_plan_id_idx ON public.clients_training_plan USING btree (training_plan_id);

CREATE UNIQUE INDEX ledger_events_notification_id_idx ON public.ledger_events USING btree (notification_id);

CREATE INDEX ledger_receipts_recorded_at_idx ON public.ledger_receipts USING btree (recorded_at);

CREATE INDEX payments_client_id_idx ON public.payments USING btree (client_id);

CREATE INDEX payments_timestamp_idx ON public.payments USING btree ("timestamp") WHERE (payment_status = 'PENDING'::public.payment_status);

CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id);

CREATE INDEX training_plan_trainings_training_plan_id_idx ON public.training_plan_trainings USING btree (training_plan_id);

CREATE INDEX training_plans_user_id_idx ON public.training_plans USING btree (user_id);

CREATE INDEX trainings_client_id_idx ON public.trainings USING btree (client_id);

CREATE INDEX trainings_exercises_exercise_id_idx ON public.trainings_exercises USING btree (exercise_id);

CREATE INDEX users_created_at_idx ON public.users USING btree (created_at);

CREATE TRIGGER ledger_is_immutable BEFORE DELETE OR UPDATE OR TRUNCATE ON public.ledger_events FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_is_immutable();

ALTER TABLE ONLY public.client_admissions
    ADD CONSTRAINT client_admissions_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_membership_id_fkey FOREIGN KEY (membership_id) REFERENCES public.memberships(id) ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.clients_training_plan
    ADD CONSTRAINT clients_training_plan_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.clients_training_plan
    ADD CONSTRAINT clients_training_plan_training_plan_id_fkey FOREIGN KEY (training_plan_id) REFERENCES public.training_plans(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.training_plan_trainings
    ADD CONSTRAINT training_plan_trainings_training_id_fkey FOREIGN KEY (training_id) REFERENCES public.trainings(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.training_plan_trainings
    ADD CONSTRAINT training_plan_trainings_training_plan_id_fkey FOREIGN KEY (training_plan_id) REFERENCES public.training_plans(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.training_plans
    ADD CONSTRAINT training_plans_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.trainings
    ADD CONSTRAINT trainings_client_id_fkey FOREIGN KEY (client_id) REFERENCES public.clients(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.trainings_exercises
    ADD CONSTRAINT trainings_exercises_exercise_id_fkey FOREIGN KEY (exercise_id) REFERENCES public.exercises(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.trainings_exercises
    ADD CONSTRAINT trainings_exercises_training_id_fkey FOREIGN KEY (training_id) REFERENCES public.trainings(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
